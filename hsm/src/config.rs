//! Settings of the HSM layer. Every limit has a default, documented on its field.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use secrecy::SecretString;

use crate::lanes::Lane;

/// The token's user PIN: no `Debug` text of its value, zeroized on drop.
#[derive(Clone)]
pub struct Pin(SecretString);

impl Pin {
    /// Takes the PIN over.
    pub fn new(pin: String) -> Self {
        Self(SecretString::from(pin))
    }

    pub(crate) fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl From<String> for Pin {
    fn from(pin: String) -> Self {
        Self::new(pin)
    }
}

/// How to reach one token, and how much may be asked of it at once.
#[derive(Clone)]
pub struct HsmConfig {
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// Passed as `pReserved` of `C_Initialize`; NSS wants one, others refuse it. Default: none.
    pub init_string: Option<String>,
    /// `label` of `CK_TOKEN_INFO`.
    pub token_label: String,
    /// `serialNumber` of `CK_TOKEN_INFO`; without it two tokens of the same label are an error. Default: none.
    pub token_serial: Option<String>,
    /// The user PIN.
    pub pin: Pin,
    /// Makes the canary key at start if the token has none. Only for the first start on a fresh token: an absent
    /// canary otherwise means that this is not the token it should be. Default: false.
    pub create_canary: bool,
    /// Session threads. Default: the number of cores, at least 2.
    pub session_threads: usize,
    /// Jobs waiting per lane before `Busy`.
    pub queue_bounds: QueueBounds,
    /// A lane whose oldest job has waited this long is served before lanes of higher rank. Default: 100 ms.
    pub lane_patience: Duration,
    /// Time from submission to the end of the operation.
    pub timeouts: Timeouts,
    /// Largest message, plaintext or ciphertext in bytes. Default: 1 MiB.
    pub message_bytes_max: usize,
    /// Stuck threads written off and replaced before a restart is the only way out. Default: 4.
    pub stuck_threads_max: usize,
    /// Pause between canary signatures. Default: 5 s.
    pub canary_interval: Duration,
    /// Canary failures in a row before the breaker opens. Default: 3.
    pub canary_failures_max: u32,
    /// Age of the last good canary signature at which readiness ends. Default: 20 s.
    pub canary_stale_after: Duration,
    /// Attempts to bring the token up in `Hsm::start`. Default: 5.
    pub start_attempts: u32,
    /// Longest wait of `Hsm::start` for a module that does not return. Default: 60 s.
    pub start_timeout: Duration,
    /// First pause between attempts to bring the token up; doubles each time. Default: 50 ms.
    pub backoff_min: Duration,
    /// Longest such pause. Default: 5 s.
    pub backoff_max: Duration,
    /// File whose lock serializes start-up and log-in with other processes on the token.
    pub lock_path: PathBuf,
    /// Longest wait for that lock. Default: 30 s.
    pub lock_timeout: Duration,
    /// Durable record of log-in attempts; every gateway on this host that uses the token names the same file.
    pub pin_record_path: PathBuf,
    /// Log-ins whose outcome a crash hid before the PIN is latched. Default: 2.
    pub pin_unresolved_max: u32,
    /// Directories that hold the token, for software tokens: synced before a new key is released. Default: none.
    pub storage_directories: Vec<PathBuf>,
}

/// Jobs waiting per lane.
#[derive(Clone, Copy, Debug)]
pub struct QueueBounds {
    /// Wallet signatures. Default: 1024.
    pub sign: NonZeroUsize,
    /// Token and vendor signatures, HMAC and random numbers. Default: 256.
    pub token: NonZeroUsize,
    /// Unseal and decrypt. Default: 256.
    pub decrypt: NonZeroUsize,
    /// Generation, look-up, retirement and destruction. Default: 32.
    pub generate: NonZeroUsize,
    /// Canary signatures. Default: 2.
    pub canary: NonZeroUsize,
}

impl QueueBounds {
    pub(crate) fn of(&self, lane: Lane) -> usize {
        match lane {
            Lane::Sign => self.sign,
            Lane::Token => self.token,
            Lane::Decrypt => self.decrypt,
            Lane::Generate => self.generate,
            Lane::Canary => self.canary,
        }
        .get()
    }
}

impl Default for QueueBounds {
    fn default() -> Self {
        let bound = |count| NonZeroUsize::new(count).expect("queue bounds are positive");
        Self {
            sign: bound(1024),
            token: bound(256),
            decrypt: bound(256),
            generate: bound(32),
            canary: bound(2),
        }
    }
}

/// Time from submission to the end of an operation, queueing included. A thread inside the module for longer than
/// its operation's time is written off.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Signatures, HMAC, random numbers, seal. Default: 5 s.
    pub sign: Duration,
    /// Unseal and decrypt. Default: 5 s.
    pub decrypt: Duration,
    /// Generation, look-up, retirement and destruction. Default: 60 s.
    pub generate: Duration,
    /// The canary signature. Default: 5 s.
    pub canary: Duration,
    /// Waiting for threads to leave the module before it is finalized, and for `shutdown`. Default: 10 s.
    pub quiesce: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            sign: Duration::from_secs(5),
            decrypt: Duration::from_secs(5),
            generate: Duration::from_mins(1),
            canary: Duration::from_secs(5),
            quiesce: Duration::from_secs(10),
        }
    }
}

impl HsmConfig {
    /// Defaults for everything but what names the token and the two files, which go into `state_directory`.
    pub fn new(
        module: impl Into<PathBuf>,
        token_label: impl Into<String>,
        pin: impl Into<Pin>,
        state_directory: impl Into<PathBuf>,
    ) -> Self {
        let state_directory = state_directory.into();
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            module: module.into(),
            init_string: None,
            token_label: token_label.into(),
            token_serial: None,
            pin: pin.into(),
            create_canary: false,
            session_threads: cores.max(2),
            queue_bounds: QueueBounds::default(),
            lane_patience: Duration::from_millis(100),
            timeouts: Timeouts::default(),
            message_bytes_max: 1 << 20,
            stuck_threads_max: 4,
            canary_interval: Duration::from_secs(5),
            canary_failures_max: 3,
            canary_stale_after: Duration::from_secs(20),
            start_attempts: 5,
            start_timeout: Duration::from_mins(1),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            lock_path: state_directory.join("hsm-start.lock"),
            lock_timeout: Duration::from_secs(30),
            pin_record_path: state_directory.join("hsm-pin-record"),
            pin_unresolved_max: 2,
            storage_directories: Vec::new(),
        }
    }
}
