//! `countersign plugin backtest`: a candidate and the past, on this machine's sandbox and not on the gateway's.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use gateway_domain::{
    Clock as _,
    evaluations::{Evaluation, EvaluationResult, Purpose},
    ids::PluginRevisionId,
    policy::Binding,
};
use plugin_host::{
    ComponentSource, Digest, EvaluationFailure, EvaluationRecord, Grants, HostConfig, PreparedPlugin,
    Settings,
};

use super::{
    comparison::{Comparison, Word, denied_by, last_word},
    evaluations::{self, Evaluated, Since, StoredPlugin},
    workbench::{Workbench, diagnosis, settings_text},
};
use crate::{
    adapters::{evaluator, system::SystemClock},
    cli::{
        order::Act,
        output::{Format, progress},
        place::{Hand, OrganizationPlace},
        status::{Status, UsageError},
    },
    config::Plugins,
    grants::Granted,
};

#[cfg(test)]
mod tests;

#[derive(Debug, Args)]
pub(in crate::cli) struct Backtest {
    #[command(flatten)]
    place: OrganizationPlace,
    /// The candidate's component.
    #[arg(value_name = "COMPONENT", required_unless_present = "revision", conflicts_with = "revision")]
    component: Option<PathBuf>,
    /// JSON file of its settings; without it, `{}`.
    #[arg(long, value_name = "FILE", requires = "component")]
    settings: Option<PathBuf>,
    /// Capability that it would be granted, as for `install`; repeat for several.
    #[arg(long = "grant", value_name = "CAPABILITY", requires = "component")]
    grants: Vec<String>,
    /// A stored revision instead, as `plugin list` shows it.
    #[arg(long, value_name = "ID")]
    revision: Option<PluginRevisionId>,
    /// Name of the plugin whose words, as they were enforced, it is compared with.
    #[arg(long, value_name = "NAME")]
    against: String,
    #[command(flatten)]
    since: Since,
    /// List at most so many transactions; all are counted.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    list: usize,
    #[command(flatten)]
    format: Format,
}

/// What is tried out, ready to run.
struct Candidate {
    workbench: Workbench,
    plugin: Arc<PreparedPlugin>,
    settings: Settings,
    grants: Grants,
}

impl Backtest {
    pub(super) async fn run(self) -> Result<Status> {
        let hand = self.place.hand().await?;
        let compared = self.compare(&hand).await;
        hand.let_go().await;
        compared?.print(self.format)
    }

    async fn compare(&self, hand: &Hand) -> Result<Comparison> {
        let plugins = self.place.config()?.plugins;
        let candidate = Candidate::prepare(self.plugin(hand).await?, &plugins).await?;
        let comparison = std::cell::RefCell::new(Comparison::listing(self.list));
        let take = async |_: &[Binding], evaluated: Evaluated| {
            let Evaluated { transaction, minimum_confidence_ppm, evaluations } = evaluated;
            let is_decision = |evaluation: &Evaluation| {
                evaluation.subject_name == self.against && evaluation.purpose == Purpose::Decision
            };
            let decided = match last_word(&evaluations, is_decision) {
                Some(Word::Said(decided)) => decided,
                Some(Word::Unasked(code)) => {
                    let why = format!("`{}` could not be asked ({code})", self.against);
                    comparison.borrow_mut().leave_out(why);
                    return Ok(());
                }
                None => {
                    comparison.borrow_mut().leave_out(format!("`{}` was not enforced", self.against));
                    return Ok(());
                }
            };
            let judged = candidate.judge(decided).await;
            let mut comparison = comparison.borrow_mut();
            match judged {
                Ok(said) => {
                    let denied_by = denied_by(&evaluations, &self.against);
                    let words = (&decided.result, &said);
                    comparison.compare((transaction, minimum_confidence_ppm), words, denied_by);
                }
                Err(why) => comparison.skip(transaction, &why),
            }
            Ok(())
        };
        let tell = |count| progress(&comparison.borrow().progress(count));
        evaluations::each(hand, (&self.since, SystemClock.now()), take, tell).await?;
        Ok(comparison.into_inner())
    }

    async fn plugin(&self, hand: &Hand) -> Result<StoredPlugin> {
        if let Some(id) = self.revision {
            let answer = hand.order(Act::ReadPlugin(id)).await?;
            return serde_json::from_value(answer.value).context("reading a plugin revision");
        }
        let path = self.component.as_ref().ok_or(UsageError("a component or `--revision` is needed"))?;
        let component = fs::read(path).with_context(|| format!("reading `{}`", path.display()))?;
        let settings = settings_text(self.settings.as_deref())?;
        Ok(StoredPlugin { component, settings, grants: self.grants.iter().cloned().collect::<BTreeSet<_>>() })
    }
}

/// Bounds evaluations as the gateway whose history it is: what it would stop, for what it takes or for how long, is
/// stopped here, by the time of this machine.
fn bound_as(plugins: &Plugins, config: &mut HostConfig) {
    config.limits = plugins.limits();
    config.schedule.run_max = Some(Duration::from_millis(plugins.deadline_ms));
    // What the machine does besides is not the candidate's: its turn may come as late as elsewhere on the workbench.
    config.schedule.deadline += Duration::from_millis(plugins.deadline_ms);
    config.schedule.tick = Duration::from_millis(plugins.tick_ms);
    // Every failure is a finding here, however many there are in a row.
    config.schedule.breaker_failures = u32::MAX;
}

impl Candidate {
    async fn prepare(plugin: StoredPlugin, plugins: &Plugins) -> Result<Self> {
        let StoredPlugin { component, settings, grants } = plugin;
        progress(&format!("compiling {} bytes", component.len()));
        let workbench = Workbench::open(|config| bound_as(plugins, config))?;
        let source = ComponentSource { digest: Digest::of(&component), bytes: component.into() };
        let prepared = workbench.host.prepare(source).await;
        let plugin = prepared.map_err(|failure| anyhow::anyhow!("{}", diagnosis(&failure)))?;
        let grants = Granted::of(&grants).capabilities();
        if let Some(missing) = plugin.required().missing_from(grants).next() {
            bail!("the candidate imports `{missing}`, which is not granted: name it with `--grant`");
        }
        Ok(Self { workbench, plugin, settings: Settings::from(settings.as_str()), grants })
    }

    /// What the candidate says where `decided` was said, or why that cannot be told.
    async fn judge(&self, decided: &Evaluation) -> Result<EvaluationResult, String> {
        let record: EvaluationRecord = serde_json::from_str(&decided.record)
            .map_err(|_| "the plugin was stopped before it left a record".to_owned())?;
        let (request, gap) = record.ask_anew(self.settings.clone(), self.grants);
        let answer = self.workbench.host.evaluate(&self.plugin, request).await;
        if let Some(asked) = gap.found() {
            return Err(format!("the candidate asked what is not recorded: {asked}"));
        }
        let said = match answer {
            Ok(evaluation) => EvaluationResult::Verdict(evaluator::outcome(evaluation.outcome)),
            Err(EvaluationFailure { code, detail, .. }) => {
                EvaluationResult::Failure { code: code.as_str().to_owned(), detail }
            }
        };
        match said.unasked() {
            Some(code) => Err(format!("the candidate could not be asked ({code})")),
            None => Ok(said),
        }
    }
}
