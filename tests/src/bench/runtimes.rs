//! Threads of this process by what they are for, so that the kernel's counts can be told apart.

use std::io::Result;

use tokio::runtime::{Builder, Runtime};

pub(crate) const LOAD_THREADS: &str = "load";
pub(crate) const NODE_THREADS: &str = "instant-node";
pub(crate) const BARE_THREADS: &str = "bare";

pub(crate) struct Runtimes {
    /// Sends requests.
    pub(crate) load: Runtime,
    /// Answers as a node.
    pub(crate) node: Runtime,
    /// Does what is compared with.
    pub(crate) bare: Runtime,
}

impl Runtimes {
    pub(crate) fn new() -> Result<Runtimes> {
        let one_thread =
            |name: &str| Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build();
        Ok(Runtimes {
            load: one_thread(LOAD_THREADS)?,
            node: one_thread(NODE_THREADS)?,
            bare: one_thread(BARE_THREADS)?,
        })
    }
}
