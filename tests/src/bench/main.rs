//! Prints what Countersign costs against what cannot be cheaper, as ratios from one run: see
//! `deploy/BENCHMARKS.md`. With `--json` every figure is one object a line.

mod audit_log;
mod bare_wasm;
mod baseline;
mod dry_run;
mod instant_node;
mod ledger;
mod load;
mod neighbours;
mod operations;
mod plugins;
mod postgres;
mod processor;
mod report;
mod runtimes;
mod scale;
mod signing;
mod statistics;
mod throughput;
mod throughput_report;
mod verification;
mod volume;

use anyhow::{Result, bail};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::report::Report;
use crate::runtimes::Runtimes;
use crate::scale::Scale;
use crate::signing::Token;

// Not asynchronous: SoftHSM reads its configuration from the environment, which only one thread may set.
fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let (scale, report) = (Scale::new(options.is_quick), Report::new(options.as_json));
    let directory = tempfile::Builder::new().prefix("countersign-bench-").tempdir()?;
    let softhsm = hsm::write_softhsm_config(directory.path())?;
    hsm::export_softhsm_config(&softhsm)?;
    let config = Token::provision(directory.path(), &softhsm)?;

    let parallel = Builder::new_multi_thread().thread_name("bench").enable_all().build()?;
    let token = parallel.block_on(Token::start(config))?;
    if options.measures(Part::Hsm) {
        parallel.block_on(interruptible(token.measure(&scale, &report)))?;
    }
    if options.measures(Part::Plugins) {
        parallel.block_on(interruptible(plugins::measure(directory.path(), &scale, &report)))?;
    }
    if options.measures(Part::Neighbours) {
        parallel.block_on(interruptible(neighbours::measure(directory.path(), &scale, &report)))?;
    }
    if options.measures(Part::Http) {
        let runtimes = Runtimes::new()?;
        // One thread: children are bound to the thread that starts them.
        let conductor = Builder::new_current_thread().enable_all().build()?;
        conductor.block_on(interruptible(throughput::measure(&token, &runtimes, &scale, &report)))?;
    }
    if options.measures(Part::Operations) {
        let runtimes = Runtimes::new()?;
        let conductor = Builder::new_current_thread().enable_all().build()?;
        conductor.block_on(interruptible(operations::measure(&runtimes, &scale, &report)))?;
    }
    if options.measures(Part::DryRun) {
        let runtimes = Runtimes::new()?;
        let conductor = Builder::new_current_thread().enable_all().build()?;
        conductor.block_on(interruptible(dry_run::measure(&runtimes, &scale, &report)))?;
    }
    if options.only == Some(Part::Scale) {
        let runtimes = Runtimes::new()?;
        let conductor = Builder::new_current_thread().enable_all().build()?;
        conductor.block_on(interruptible(audit_log::measure(&runtimes, &report)))?;
        conductor.block_on(interruptible(volume::measure(&runtimes, &report)))?;
        conductor.block_on(interruptible(postgres::measure(&token, &runtimes, &scale, &report)))?;
    }
    parallel.block_on(token.shutdown());
    Ok(())
}

/// A signal drops the measurement, and with it everything it started.
async fn interruptible(measurement: impl Future<Output = Result<()>>) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        measured = measurement => measured,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Hsm,
    Plugins,
    Neighbours,
    Http,
    Operations,
    DryRun,
    /// Takes many minutes and gigabytes: only when asked for.
    Scale,
}

#[derive(Default)]
struct Options {
    as_json: bool,
    is_quick: bool,
    only: Option<Part>,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Options> {
        let mut options = Options::default();
        for argument in arguments {
            match argument.as_str() {
                "--json" => options.as_json = true,
                "--quick" => options.is_quick = true,
                "--only=hsm" => options.only = Some(Part::Hsm),
                "--only=plugins" => options.only = Some(Part::Plugins),
                "--only=neighbours" => options.only = Some(Part::Neighbours),
                "--only=http" => options.only = Some(Part::Http),
                "--only=operations" => options.only = Some(Part::Operations),
                "--only=dryrun" => options.only = Some(Part::DryRun),
                "--only=scale" => options.only = Some(Part::Scale),
                other => bail!(
                    "unknown argument `{other}`: --json, --quick, --only=hsm|plugins|neighbours|http|operations|dryrun|scale"
                ),
            }
        }
        Ok(options)
    }

    fn measures(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}
