//! `countersign plugin bench`: what an evaluation costs.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use plugin_host::Reused;
use serde_json::{Value, json};

use super::{
    cases::{self, Case},
    workbench::{ComponentArgument, Loaded, Workbench, diagnosis, too_late},
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
    fresh: Times,
    memory_peak_bytes: u64,
}

/// What evaluations took.
struct Times {
    /// Sorted.
    all: Vec<Duration>,
}

impl Times {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self { all }
    }

    /// Microseconds within which so many percent were done.
    fn micros(&self, percent: usize) -> f64 {
        let index = self.all.len() * percent / 100;
        self.all.get(index).or(self.all.last()).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    }

    fn longest(&self) -> Duration {
        self.all.last().copied().unwrap_or_default()
    }

    fn value(&self) -> Value {
        let (median, p99) = (self.micros(50), self.micros(99));
        json!({ "evaluations": self.all.len(), "medianMicros": median, "p99Micros": p99 })
    }

    fn line(&self) -> String {
        let (median, p99) = (self.micros(50), self.micros(99));
        format!("{median:>8.1} us median  {p99:>8.1} us p99  {} evaluations one by one", self.all.len())
    }
}

impl Bench {
    pub(super) async fn run(self) -> Result<Status> {
        let case = self.choose()?;
        let workbench = Workbench::open(|_| {})?;
        let loaded = workbench.load(&self.component).await?;
        let Measured { fresh, memory_peak_bytes } =
            measure(&workbench, &loaded, &case, self.count as usize).await?;
        let (reused, stopped) = measure_reused(&workbench, &loaded, &case, self.count as usize).await?;
        let fuel = count_fuel(&self.component, &case).await?;
        let note = too_late(fresh.longest(), workbench.gateway_deadline);
        let value = json!({
            "case": case.name, "fresh": fresh.value(), "reused": reused.value(), "reusedStopped": stopped,
            "memoryPeakBytes": memory_peak_bytes, "fuel": fuel, "note": note,
        });
        let mut lines = vec![
            format!("case    {}", case.name),
            format!("fresh   {}: what a decision costs", fresh.line()),
            format!("reused  {}: for comparison, no decision is made so", reused.line()),
            format!("memory  {memory_peak_bytes} bytes at the peak of one evaluation"),
            format!("fuel    {fuel}: about one for an instruction, the same on every machine"),
        ];
        if let Some(stopped) = stopped {
            lines.push(format!(
                "note    the reused instance ended early ({stopped}), as a fresh one never does"
            ));
        }
        lines.extend(note.map(|note| format!("note    the longest fresh evaluation: {note}")));
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
    let (mut times, mut memory_peak_bytes) = (Vec::with_capacity(count), 0);
    let mut told = Instant::now();
    for number in 0..WARM_UP + count {
        let request = case.request(&loaded.plugin)?;
        match workbench.host.evaluate(&loaded.plugin, request).await {
            Ok(evaluation) if number >= WARM_UP => {
                times.push(evaluation.run_time);
                memory_peak_bytes = evaluation.record.memory_peak_bytes;
            }
            Ok(_) => {}
            Err(failure) => bail!("case `{}` fails: {}", case.name, diagnosis(&failure)),
        }
        if told.elapsed() >= WORD_INTERVAL {
            progress(&format!("{number} of {}", WARM_UP + count));
            told = Instant::now();
        }
    }
    Ok(Measured { fresh: Times::of(times), memory_peak_bytes })
}

/// The same evaluations in one instance, and why it ended if it did not come to the last.
async fn measure_reused(
    workbench: &Workbench,
    loaded: &Loaded,
    case: &Case,
    count: usize,
) -> Result<(Times, Option<String>)> {
    let requests = (0..=count).map(|_| case.request(&loaded.plugin)).collect::<Result<_>>()?;
    let reused = workbench.host.time_reused(&loaded.plugin, requests).await;
    let Reused { times, stopped } = reused.map_err(|failure| anyhow::anyhow!("{}", diagnosis(&failure)))?;
    Ok((Times::of(times), stopped.map(|failure| failure.to_string())))
}

/// Code that counts is other code, and slower: it is compiled and run apart.
async fn count_fuel(component: &ComponentArgument, case: &Case) -> Result<u64> {
    let workbench = Workbench::open(|config| config.compile.count_fuel = true)?;
    let loaded = workbench.load(component).await?;
    let answer = workbench.host.evaluate(&loaded.plugin, case.request(&loaded.plugin)?).await;
    let evaluation = answer.map_err(|failure| anyhow::anyhow!("{}", diagnosis(&failure)))?;
    evaluation.fuel.context("the engine counted no fuel")
}

#[cfg(test)]
mod tests;
