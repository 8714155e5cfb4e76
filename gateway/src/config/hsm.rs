//! `[hsm]`, and the HSM layer's configuration made of it.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use hsm::{HsmConfig, Pin, QueueBounds, Timeouts};

use super::{
    ConfigError,
    section::section,
    value::{List, Secret},
};

section! {
    /// The PKCS#11 token that holds every key.
    pub(crate) struct Hsm = "hsm" {
        /// The PKCS#11 library.
        module: Option<PathBuf> = None, like "\"/usr/lib/softhsm/libsofthsm2.so\"";
        /// `pReserved` of `C_Initialize`; NSS wants one, others refuse it.
        init_string: Option<String> = None, like "\"configdir='/var/lib/nss'\"";
        /// Label of the token.
        token_label: Option<String> = None, like "\"countersign\"";
        /// Serial number of the token; needed where two tokens have the same label.
        token_serial: Option<String> = None, like "\"2f9d5c1a0b7e4d33\"";
        /// The user PIN.
        pin: Option<Secret> = None, like "\"correct horse battery staple\"";
        /// File that holds the user PIN, instead of `pin`.
        pin_file: Option<PathBuf> = None, like "\"/run/secrets/countersign-pin\"";
        /// Session threads. Without it, the number of cores, at least 2.
        session_threads: Option<usize> = None, within 1..=256, like "4";
        /// Wallet signatures that wait; more are answered 503.
        sign_queue_max: usize = 1024, within 1..=1_000_000;
        /// Token and vendor signatures, HMAC and random numbers that wait.
        token_queue_max: usize = 256, within 1..=1_000_000;
        /// Decryptions that wait.
        decrypt_queue_max: usize = 256, within 1..=1_000_000;
        /// Generations, look-ups, retirements and destructions that wait.
        generate_queue_max: usize = 32, within 1..=1_000_000;
        /// Canary signatures that wait.
        canary_queue_max: usize = 2, within 1..=1000;
        /// Milliseconds after which a waiting job is served before jobs of higher rank.
        lane_patience_ms: u64 = 100, within 1..=60_000;
        /// Milliseconds for a signature, HMAC, random number or seal, waiting included.
        sign_timeout_ms: u64 = 5000, within 1..=600_000;
        /// Milliseconds for a decryption, waiting included.
        decrypt_timeout_ms: u64 = 5000, within 1..=600_000;
        /// Milliseconds for a generation, look-up, retirement or destruction, waiting included.
        generate_timeout_ms: u64 = 60_000, within 1..=600_000;
        /// Milliseconds for the canary signature.
        canary_timeout_ms: u64 = 5000, within 1..=600_000;
        /// Milliseconds for threads to leave the module before it is finalized.
        quiesce_timeout_ms: u64 = 10_000, within 1..=600_000;
        /// Bytes of a message, plaintext or ciphertext.
        message_bytes_max: usize = 1 << 20, within 1024..=64 << 20;
        /// Stuck threads that are replaced before only a restart helps.
        stuck_threads_max: usize = 4, within 0..=256;
        /// Milliseconds between canary signatures.
        canary_interval_ms: u64 = 5000, within 10..=600_000;
        /// Canary failures in a row after which the token counts as away.
        canary_failures_max: u32 = 3, within 1..=1000;
        /// Milliseconds since the last good canary signature after which `/readyz` fails.
        canary_stale_ms: u64 = 20_000, within 10..=3_600_000;
        /// Attempts to bring the token up at start.
        start_attempts_max: u32 = 5, within 1..=1000;
        /// Milliseconds of the first pause between such attempts; doubles each time.
        backoff_min_ms: u64 = 50, within 1..=60_000;
        /// Milliseconds of the longest such pause.
        backoff_max_ms: u64 = 5000, within 1..=600_000;
        /// File whose lock serializes log-ins to the token on this machine. Without it, `hsm-start.lock` in
        /// `core.data_dir`.
        lock_file: Option<PathBuf> = None, like "\"/var/lib/countersign/hsm-start.lock\"";
        /// Milliseconds to wait for that lock.
        lock_timeout_ms: u64 = 30_000, within 1..=600_000;
        /// Durable record of log-in attempts, the same for every gateway on this machine that uses the token. Without
        /// it, `hsm-pin-record` in `core.data_dir`.
        pin_record_file: Option<PathBuf> = None, like "\"/var/lib/countersign/hsm-pin-record\"";
        /// Log-ins whose outcome a crash hid, after which the PIN is latched.
        pin_unresolved_max: u32 = 2, within 1..=10;
        /// Directories of a software token, synced before a new key is released.
        storage_directories: List = List::default();
    }
}

impl Hsm {
    /// `data_dir` holds the lock and the PIN record where they have no path of their own.
    pub(crate) fn hsm_config(&self, data_dir: &Path) -> Result<HsmConfig, ConfigError> {
        let module = self.module.as_ref().ok_or(ConfigError::Missing("hsm.module"))?;
        let label = self.token_label.as_ref().ok_or(ConfigError::Missing("hsm.token_label"))?;
        let pin = self.pin.as_ref().ok_or(ConfigError::Missing("hsm.pin"))?;
        let mut config = HsmConfig::new(module, label, Pin::new(pin.expose().to_owned()), data_dir);
        config.init_string.clone_from(&self.init_string);
        config.token_serial.clone_from(&self.token_serial);
        if let Some(threads) = self.session_threads {
            config.session_threads = threads;
        }
        config.queue_bounds = self.queue_bounds();
        config.lane_patience = Duration::from_millis(self.lane_patience_ms);
        config.timeouts = self.timeouts();
        config.message_bytes_max = self.message_bytes_max;
        config.stuck_threads_max = self.stuck_threads_max;
        config.canary_interval = Duration::from_millis(self.canary_interval_ms);
        config.canary_failures_max = self.canary_failures_max;
        config.canary_stale_after = Duration::from_millis(self.canary_stale_ms);
        config.start_attempts = self.start_attempts_max;
        config.backoff_min = Duration::from_millis(self.backoff_min_ms);
        config.backoff_max = Duration::from_millis(self.backoff_max_ms);
        config.lock_timeout = Duration::from_millis(self.lock_timeout_ms);
        config.pin_unresolved_max = self.pin_unresolved_max;
        config.storage_directories = self.storage_directories.0.iter().map(PathBuf::from).collect();
        if let Some(path) = &self.lock_file {
            config.lock_path.clone_from(path);
        }
        if let Some(path) = &self.pin_record_file {
            config.pin_record_path.clone_from(path);
        }
        Ok(config)
    }

    fn queue_bounds(&self) -> QueueBounds {
        let bound = |count| NonZeroUsize::new(count).expect("the range of every queue begins at 1");
        QueueBounds {
            sign: bound(self.sign_queue_max),
            token: bound(self.token_queue_max),
            decrypt: bound(self.decrypt_queue_max),
            generate: bound(self.generate_queue_max),
            canary: bound(self.canary_queue_max),
        }
    }

    /// How long others may take to make what this gateway needs as well: twice as many calls as they need.
    pub(crate) fn others_wait(&self) -> Duration {
        Duration::from_millis(self.generate_timeout_ms) * 8
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts {
            sign: Duration::from_millis(self.sign_timeout_ms),
            decrypt: Duration::from_millis(self.decrypt_timeout_ms),
            generate: Duration::from_millis(self.generate_timeout_ms),
            canary: Duration::from_millis(self.canary_timeout_ms),
            quiesce: Duration::from_millis(self.quiesce_timeout_ms),
        }
    }
}
