//! Processor time and memory as the kernel counts them, per process and per group of threads.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use countersign_tests::process::resident_kib;

/// `USER_HZ`, the unit of `/proc/PID/stat`: 100 in every Linux ABI.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time of a process at one moment.
pub(crate) struct Snapshot {
    total: Duration,
    /// By thread id: name and time.
    threads: BTreeMap<u32, (String, Duration)>,
}

impl Snapshot {
    pub(crate) fn of(process_id: u32) -> Result<Snapshot> {
        let process = PathBuf::from(format!("/proc/{process_id}"));
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(process.join("task"))? {
            let task = entry?.path();
            let id = task.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            // A thread that ends meanwhile has no files any more.
            let (Some(id), Ok(name), Ok(times)) =
                (id, fs::read_to_string(task.join("comm")), fs::read_to_string(task.join("schedstat")))
            else {
                continue;
            };
            threads.insert(id, (name.trim().to_owned(), running_time(&times)?));
        }
        let total = ticks(&fs::read_to_string(process.join("stat"))?)?;
        Ok(Snapshot { total, threads })
    }

    /// All that the process has used since `earlier`, ended threads included.
    pub(crate) fn total_since(&self, earlier: &Snapshot) -> Duration {
        self.total.saturating_sub(earlier.total)
    }

    /// What threads whose name begins with `prefix` have used since `earlier`.
    pub(crate) fn threads_since(&self, earlier: &Snapshot, prefix: &str) -> Duration {
        let named = self.threads.iter().filter(|(_, (name, _))| name.starts_with(prefix));
        named
            .map(|(id, (_, time))| match earlier.threads.get(id) {
                Some((_, before)) => time.saturating_sub(*before),
                None => *time,
            })
            .sum()
    }
}

/// Processor time of the calling thread.
pub(crate) fn of_this_thread() -> Result<Duration> {
    running_time(&fs::read_to_string("/proc/thread-self/schedstat")?)
}

/// Mebibytes of a process in memory.
pub(crate) fn resident_mebibytes(process_id: u32) -> Result<f64> {
    Ok(u32::try_from(resident_kib(process_id)?).map(f64::from)? / 1024.0)
}

/// The first number of `schedstat`: nanoseconds on a processor.
fn running_time(schedstat: &str) -> Result<Duration> {
    let nanoseconds = schedstat.split_whitespace().next().context("an empty `schedstat`")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// `utime` and `stime`, fields 14 and 15; the name before them may hold spaces.
fn ticks(stat: &str) -> Result<Duration> {
    let (_, fields) = stat.rsplit_once(')').context("a `stat` without a name")?;
    let times: Vec<u64> =
        fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(times.iter().sum::<u64>() * 1000 / TICKS_PER_SECOND))
}
