//! Plugins that are replaced while they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use plugin_host::{ComponentSource, PreparedPlugin};
use tokio::task::JoinSet;

use crate::guests::{TestHost, request, with_section};

const ACTIVATIONS: usize = 1000;
const COMPONENTS: usize = 16;
const CLIENTS: usize = 3;
const THREADS: usize = 4;
/// Far more than a loaded machine needs to end a call whose answer is there.
const PATIENCE: Duration = Duration::from_secs(30);
/// Settings of the two kinds of revision, and the reason that each gives.
const KINDS: [(&str, &str); 2] = [("behave", "behaved"), ("log", "logged")];

/// What is bound: immutable, replaced as a whole.
struct Revision {
    plugin: Arc<PreparedPlugin>,
    kind: usize,
}

/// One of several components that do the same and have different digests.
fn component(number: usize) -> ComponentSource {
    with_section("hostile", "number", &[u8::try_from(number).unwrap()])
}

async fn evaluate(host: &TestHost, revision: &Revision) {
    let (settings, reason) = KINDS[revision.kind];
    let evaluation = host.host.evaluate(&revision.plugin, request(settings)).await.unwrap();
    assert_eq!(evaluation.outcome.reason_code, reason, "the verdict of another revision");
    assert_eq!(evaluation.record.component, revision.plugin.digest());
    assert_eq!(evaluation.record.settings.as_str(), settings);
}

/// Waits until so many components are left, and no more are held by anybody.
async fn left(host: &TestHost, expected: usize) {
    let deadline = Instant::now() + PATIENCE;
    while host.host.live_components() != expected {
        assert!(Instant::now() < deadline, "{} components live", host.host.live_components());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousand_activations_under_load_mix_nothing_and_leave_nothing_behind() {
    let host = Arc::new(TestHost::with(|config| config.schedule.threads = THREADS));
    let first = Revision { plugin: host.host.prepare(component(0)).await.unwrap(), kind: 0 };
    let active = Arc::new(std::sync::Mutex::new(Arc::new(first)));
    let (stop, evaluated) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (host, active) = (Arc::clone(&host), Arc::clone(&active));
        let (stop, evaluated) = (Arc::clone(&stop), Arc::clone(&evaluated));
        clients.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let revision = Arc::clone(&active.lock().unwrap());
                evaluate(&host, &revision).await;
                evaluated.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut most = 0;
    for number in 1..=ACTIVATIONS {
        let plugin = host.host.prepare(component(number % COMPONENTS)).await.unwrap();
        let next = Arc::new(Revision { plugin, kind: number % KINDS.len() });
        *active.lock().unwrap() = Arc::clone(&next);
        evaluate(&host, &next).await;
        most = most.max(host.host.live_components());
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    assert!(evaluated.load(Ordering::Relaxed) >= CLIENTS, "nobody was evaluating meanwhile");
    // Besides the bound one: each client's, the operator's, and what threads have answered and not yet let go.
    assert!(most <= 1 + CLIENTS + 1 + THREADS, "{most} components lived at once");
    left(&host, 1).await;
    drop(active);
    left(&host, 0).await;
}
