//! Time and chance of the operating system.

use gateway_domain::{Clock, Timestamp, entropy::Entropy};
use rand::{TryRngCore as _, rngs::OsRng};

pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now(&self) -> Timestamp {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }
}

pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // The kernel's generator fails only before it is seeded at boot, when no process of ours runs.
        OsRng.try_fill_bytes(bytes).expect("the kernel's random generator is seeded");
    }
}
