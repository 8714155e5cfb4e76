//! Ends the making of keys that a crash interrupted: once at the start, and again while the gateway runs.

use std::time::Duration;

use gateway_domain::{Timestamp, keys::finish_unfinished_keys, ports::Services};
use tokio_util::sync::CancellationToken;

/// Keys looked at together; there are more only where many enrolments were under way.
const BATCH: u32 = 50;
/// Looks within the time after which a key counts as interrupted, so that none stays much longer.
const LOOKS_PER_AGE: u32 = 4;

/// Runs until `stop`. A key counts as interrupted `age` after its reservation, or at the start of a process that alone
/// has the database: then whoever had begun it is gone.
pub(crate) async fn run(services: Services, age: Duration, owned: bool, stop: CancellationToken) {
    let now = services.clock.now();
    let mut before = if owned { now } else { now.minus(age) };
    while !stop.is_cancelled() {
        finish(&services, before).await;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(age / LOOKS_PER_AGE) => {}
        }
        before = services.clock.now().minus(age);
    }
}

async fn finish(services: &Services, before: Timestamp) {
    loop {
        match finish_unfinished_keys(services, before, BATCH).await {
            Ok(finished) => {
                if finished.refused > 0 {
                    tracing::error!(
                        keys = finished.refused,
                        "the token holds half a pair, or something else, under the ids of interrupted keys"
                    );
                }
                if finished.count() == 0 {
                    return;
                }
                tracing::info!(
                    adopted = finished.adopted,
                    retired = finished.retired,
                    "ended the making of keys that was interrupted"
                );
            }
            Err(error) => {
                tracing::warn!(%error, cause = ?error.internal_cause(), "interrupted keys wait for the next look");
                return;
            }
        }
    }
}
