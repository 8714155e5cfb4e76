//! Interrupts running guests at a steady tick, so that each looks at its deadline.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// Ticks without a running guest after which the ticker sleeps until one starts.
const IDLE_TICKS: u32 = 200;

/// The number of guests running, shared by the threads that run them and the ticker.
pub(crate) struct Activity {
    running: AtomicUsize,
    ticker: std::sync::OnceLock<thread::Thread>,
}

/// Marks one guest as running for as long as it lives.
pub(crate) struct Running<'a>(&'a Activity);

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { running: AtomicUsize::new(0), ticker: std::sync::OnceLock::new() })
    }

    /// Counts a guest in and makes sure that the ticker is awake.
    pub(crate) fn enter(&self) -> Running<'_> {
        if self.running.fetch_add(1, Ordering::SeqCst) == 0
            && let Some(ticker) = self.ticker.get()
        {
            ticker.unpark();
        }
        Running(self)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Starts the ticker thread for all engines of a host; it ends when `activity` is gone.
pub(crate) fn start(
    engines: [&Engine; 2],
    activity: &Arc<Activity>,
    tick: Duration,
) -> std::io::Result<JoinHandle<()>> {
    let engines = engines.map(Engine::weak);
    let weak = Arc::downgrade(activity);
    let ticker = thread::Builder::new().name("plugin-epoch".to_owned()).spawn(move || {
        let mut idle = 0;
        while let Some(busy) = busy(&weak) {
            idle = if busy { 0 } else { idle + 1 };
            if idle < IDLE_TICKS {
                thread::sleep(tick);
            } else {
                // Woken by the next guest; the limit lets the thread end with its host.
                thread::park_timeout(Duration::from_secs(1));
            }
            engines.iter().filter_map(EngineWeak::upgrade).for_each(|engine| engine.increment_epoch());
        }
    })?;
    activity.ticker.get_or_init(|| ticker.thread().clone());
    Ok(ticker)
}

fn busy(activity: &Weak<Activity>) -> Option<bool> {
    Some(activity.upgrade()?.running.load(Ordering::SeqCst) > 0)
}
