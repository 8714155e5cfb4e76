//! Seals secrets anew that lie under an earlier rotation of the sealing key, from the start on until none is left.

use gateway_domain::{Result, fireblocks::reseal_api_keys, ports::Services};
use tokio_util::sync::CancellationToken;

/// Secrets looked at together.
const BATCH: u32 = 50;

/// Runs until nothing is left that can be sealed anew, or until `stop`. What another gateway seals under its own earlier
/// rotation meanwhile is left to that gateway's next start.
pub(crate) async fn run(services: Services, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match look(&services, &stop).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, cause = ?error.internal_cause(), "secrets wait to be sealed anew");
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(services.limits.unavailable_pause) => {}
        }
    }
}

/// Looks at everything once; tells whether all was sealed anew that opens.
async fn look(services: &Services, stop: &CancellationToken) -> Result<bool> {
    let epoch = services.vendors.secrets.epoch();
    let (mut after, mut unreadable) = (None, 0);
    while !stop.is_cancelled() {
        let resealed = reseal_api_keys(services, after, BATCH).await?;
        unreadable += u64::from(resealed.unreadable);
        let left = services.store.sealed_before_count(epoch).await?;
        if resealed.last.is_none() {
            return Ok(left <= unreadable);
        }
        after = resealed.last;
        let sealed = resealed.sealed;
        tracing::info!(sealed, left, epoch, "sealed Fireblocks API keys anew after a rotation");
    }
    Ok(true)
}
