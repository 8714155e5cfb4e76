//! How long and how often is measured.

use std::time::Duration;

pub(crate) struct Scale {
    pub(crate) cores: usize,
    /// Pairs of reference and measurement.
    pub(crate) rounds: usize,
    /// Of one round in this process.
    pub(crate) short_round: Duration,
    pub(crate) evaluations: usize,
    pub(crate) http_rounds: usize,
    /// Of one round over HTTP.
    pub(crate) http_round: Duration,
    /// Of each kind, with one under way; eight times as many with more.
    pub(crate) operations: usize,
}

impl Scale {
    pub(crate) fn new(is_quick: bool) -> Scale {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if is_quick {
            return Scale {
                cores,
                rounds: 3,
                short_round: Duration::from_millis(200),
                evaluations: 1000,
                http_rounds: 1,
                http_round: Duration::from_secs(2),
                operations: 60,
            };
        }
        Scale {
            cores,
            rounds: 5,
            short_round: Duration::from_millis(400),
            evaluations: 3000,
            http_rounds: 3,
            http_round: Duration::from_millis(2500),
            operations: 400,
        }
    }
}
