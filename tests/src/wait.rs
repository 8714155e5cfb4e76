//! Waiting for a condition, never for a time.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{MissedTickBehavior, interval, timeout};

const TICK: Duration = Duration::from_millis(20);

/// Asks `probe` until it answers with a value. An error ends the wait at once; the deadline names `what`.
pub async fn until<T, Probe>(what: &str, deadline: Duration, mut probe: Probe) -> Result<T>
where
    Probe: AsyncFnMut() -> Result<Option<T>>,
{
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timeout(deadline, async {
        loop {
            ticks.tick().await;
            if let Some(value) = probe().await? {
                return Ok(value);
            }
        }
    })
    .await
    .with_context(|| format!("waited {deadline:?} for {what}"))?
}
