//! Works the outbox off: claims due items, carries each transaction on, gives the item back or removes it.

use std::{sync::Arc, time::Duration};

use gateway_domain::{ids::InstanceId, outbox::ClaimedItem, ports::Services, transactions::Progress};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config::Outbox;

/// Runs until `stop`; items under way are finished by the caller's wait on `tasks`.
pub(crate) async fn run(
    services: Services,
    holder: InstanceId,
    config: Outbox,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(config.concurrency_max));
    while !stop.is_cancelled() {
        let claimed = claim(&services, holder, &config, &slots).await;
        let worked = !claimed.is_empty();
        for item in claimed {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let services = services.clone();
            let pause = config.retry_pause();
            tasks.spawn(async move {
                work(&services, &item, pause).await;
                drop(slot);
            });
        }
        if !worked {
            let idle = idle_time(&services, &config).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = services.outbox_written.notified() => {}
                () = tokio::time::sleep(idle) => {}
            }
        }
    }
}

/// No more than there are free slots, so that nothing waits under a running lease.
async fn claim(
    services: &Services,
    holder: InstanceId,
    config: &Outbox,
    slots: &Semaphore,
) -> Vec<ClaimedItem> {
    let free = u32::try_from(slots.available_permits()).unwrap_or(u32::MAX);
    if free == 0 {
        // Wakes as soon as one item is done.
        drop(slots.acquire().await);
        return Vec::new();
    }
    match services.store.claim(holder, config.lease(), free.min(config.batch_max)).await {
        Ok(items) => items,
        Err(error) => {
            tracing::warn!(%error, cause = ?error.internal_cause(), "the outbox cannot be read");
            Vec::new()
        }
    }
}

async fn idle_time(services: &Services, config: &Outbox) -> Duration {
    let next = services.store.next_due().await.ok().flatten();
    next.unwrap_or(config.poll_interval()).clamp(Duration::from_millis(1), config.poll_interval())
}

async fn work(services: &Services, claimed: &ClaimedItem, pause: Duration) {
    let ClaimedItem { item, fencing, .. } = claimed;
    let done = match item.job.work(services, item.organization).await {
        Ok(Progress::Done) => services.store.complete(item.id, *fencing).await,
        Ok(Progress::Again(delay)) => services.store.postpone(item.id, *fencing, delay).await,
        Err(error) => {
            tracing::warn!(job = ?item.job, %error, cause = ?error.internal_cause(), "will try again");
            services.store.postpone(item.id, *fencing, pause).await
        }
    };
    if let Err(error) = done {
        // The lease runs out and the item is claimed again.
        tracing::warn!(outbox.id = %item.id, %error, "the outbox item could not be given back");
    }
}
