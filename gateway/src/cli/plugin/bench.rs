//! `countersign plugin bench`: what an evaluation costs.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::json;

use super::{
    cases::{self, Case},
    workbench::{ComponentArgument, Loaded, Workbench, diagnosis},
};
use crate::cli::{
    output::{Format, progress},
    status::Status,
};

const WARM_UP: usize = 100;
/// Between two words to whoever waits.
const WORD_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(in crate::cli) struct Bench {
    #[command(flatten)]
    component: ComponentArgument,
    /// File of cases; the first case is measured, unless `--case` names another.
    #[arg(value_name = "CASES")]
    cases: PathBuf,
    /// Name of the case.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Evaluations to measure.
    #[arg(long, value_name = "NUMBER", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    #[command(flatten)]
    format: Format,
}

/// What was measured of one component.
struct Measured {
    /// Sorted.
    times: Vec<Duration>,
    memory_peak_bytes: u64,
}

impl Bench {
    pub(super) async fn run(self) -> Result<Status> {
        let case = self.choose()?;
        let workbench = Workbench::open(|_| {})?;
        let loaded = workbench.load(&self.component).await?;
        let Measured { times, memory_peak_bytes } =
            measure(&workbench, &loaded, &case, self.count as usize).await?;
        let fuel = count_fuel(&self.component, &case).await?;
        let micros = |part: usize| {
            let index = (times.len() * part / 100).min(times.len() - 1);
            times[index].as_secs_f64() * 1e6
        };
        let (median, p99) = (micros(50), micros(99));
        let value = json!({
            "case": case.name, "evaluations": times.len(), "medianMicros": median, "p99Micros": p99,
            "memoryPeakBytes": memory_peak_bytes, "fuel": fuel,
        });
        let lines = vec![
            format!("case      {}", case.name),
            format!(
                "fresh     {median:.1} us median, {p99:.1} us p99, of {} evaluations one by one",
                times.len()
            ),
            format!("memory    {memory_peak_bytes} bytes at the peak"),
            format!("fuel      {fuel} (about one for an instruction; the same on every machine)"),
        ];
        self.format.print(&value, &lines)
    }

    fn choose(&self) -> Result<Case> {
        let mut cases = cases::read(&self.cases)?.into_iter();
        let chosen = match &self.case {
            Some(name) => cases.find(|case| case.name == *name),
            None => cases.next(),
        };
        chosen.with_context(|| format!("`{}` has no such case", self.cases.display()))
    }
}

/// Time in the sandbox alone: made, run and thrown away.
async fn measure(workbench: &Workbench, loaded: &Loaded, case: &Case, count: usize) -> Result<Measured> {
    let mut measured = Measured { times: Vec::with_capacity(count), memory_peak_bytes: 0 };
    let mut told = Instant::now();
    for number in 0..WARM_UP + count {
        let request = case.request(&loaded.plugin)?;
        match workbench.host.evaluate(&loaded.plugin, request).await {
            Ok(evaluation) if number >= WARM_UP => {
                measured.times.push(evaluation.run_time);
                measured.memory_peak_bytes = evaluation.record.memory_peak_bytes;
            }
            Ok(_) => {}
            Err(failure) => bail!("case `{}` fails: {}", case.name, diagnosis(&failure)),
        }
        if told.elapsed() >= WORD_INTERVAL {
            progress(&format!("{number} of {}", WARM_UP + count));
            told = Instant::now();
        }
    }
    measured.times.sort_unstable();
    Ok(measured)
}

/// Code that counts is other code, and slower: it is compiled and run apart.
async fn count_fuel(component: &ComponentArgument, case: &Case) -> Result<u64> {
    let workbench = Workbench::open(|config| config.compile.count_fuel = true)?;
    let loaded = workbench.load(component).await?;
    let answer = workbench.host.evaluate(&loaded.plugin, case.request(&loaded.plugin)?).await;
    let evaluation = answer.map_err(|failure| anyhow::anyhow!("{}", diagnosis(&failure)))?;
    evaluation.fuel.context("the engine counted no fuel")
}
