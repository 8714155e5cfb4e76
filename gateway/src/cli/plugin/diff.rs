//! `countersign plugin diff`: a shadow beside what was decided on.

use anyhow::{Context as _, Result};
use clap::Args;
use gateway_domain::{
    B256, Clock as _,
    evaluations::{Evaluation, Purpose},
    ids::PluginRevisionId,
    policy::{Binding, Mode, subject_digest},
};
use plugin_host::{Digest, EvaluationRecord};

use super::{
    comparison::{Comparison, Word, denied_by, last_word},
    evaluations::{self, Evaluated, Since, StoredPlugin},
};
use crate::{
    adapters::system::SystemClock,
    cli::{
        order::Act,
        output::{Format, progress},
        place::{Hand, OrganizationPlace},
        status::Status,
    },
};

#[cfg(test)]
mod tests;

#[derive(Debug, Args)]
pub(in crate::cli) struct Diff {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Name of the plugin that is bound as a shadow.
    #[arg(value_name = "SHADOW")]
    shadow: String,
    /// Revision of it whose words are compared, as `plugin list` shows it. Without it, the one that is bound now.
    #[arg(long, value_name = "ID")]
    revision: Option<PluginRevisionId>,
    /// Name of the plugin that it is compared with, by what was enforced of it then. Without it, the one of the same
    /// name.
    #[arg(long, value_name = "NAME")]
    against: Option<String>,
    #[command(flatten)]
    since: Since,
    /// List at most so many transactions; all are counted.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    list: usize,
    #[command(flatten)]
    format: Format,
}

impl Diff {
    pub(super) async fn run(self) -> Result<Status> {
        let hand = self.place.hand().await?;
        let compared = self.compare(&hand).await;
        hand.let_go().await;
        compared?.print(self.format)
    }

    async fn compare(&self, hand: &Hand) -> Result<Comparison> {
        let subject = match self.revision {
            Some(id) => Some(subject_of(hand, id).await?),
            None => None,
        };
        let against = self.against.as_ref().unwrap_or(&self.shadow);
        let sides = Sides { shadow: &self.shadow, against, subject };
        let mut comparison = Comparison::listing(self.list);
        let take = async |bindings: &[Binding], evaluated: Evaluated| {
            sides.compare(&mut comparison, bindings, &evaluated);
            Ok(())
        };
        let tell = |count| progress(&format!("{count} transactions read"));
        evaluations::each(hand, (&self.since, SystemClock.now()), take, tell).await?;
        Ok(comparison)
    }
}

/// Whose words are compared.
struct Sides<'a> {
    shadow: &'a str,
    against: &'a str,
    /// The shadow's revision; none for the one that is bound.
    subject: Option<B256>,
}

impl Sides<'_> {
    fn compare(&self, comparison: &mut Comparison, bindings: &[Binding], evaluated: &Evaluated) {
        let Evaluated { transaction, minimum_confidence_ppm, evaluations } = evaluated;
        let (name, against) = (self.shadow, self.against);
        let by = |evaluation: &Evaluation, name: &str, purpose| {
            evaluation.subject_name == name && evaluation.purpose == purpose
        };
        let is_shadow = |evaluation: &Evaluation| by(evaluation, name, Purpose::Shadow);
        let subject = self.subject.or_else(|| bound(bindings, name, Mode::Shadow));
        let is_subject =
            |evaluation: &Evaluation| is_shadow(evaluation) && Some(evaluation.subject_digest) == subject;
        let shadow = match last_word(evaluations, is_subject) {
            Some(Word::Said(shadow)) => shadow,
            Some(Word::Unasked(code)) => {
                return comparison.leave_out(format!("the shadow `{name}` could not be asked ({code})"));
            }
            None if !evaluations.iter().any(is_shadow) => {
                return comparison.leave_out(format!("no shadow `{name}` was heard"));
            }
            None if subject.is_some() => {
                return comparison.leave_out(format!("another revision of the shadow `{name}` was heard"));
            }
            None => {
                let why = "is bound now: say with `--revision` whose words to compare";
                return comparison.leave_out(format!("no shadow `{name}` {why}"));
            }
        };
        // A later policy may enforce something else, such as the shadow itself.
        let decided_by = |evaluation: &Evaluation, name: &str| {
            by(evaluation, name, Purpose::Decision) && evaluation.policy_revision <= shadow.policy_revision
        };
        let decided = match last_word(evaluations, |one| decided_by(one, against)) {
            Some(Word::Said(decided)) => decided,
            Some(Word::Unasked(code)) => {
                return comparison.leave_out(format!("`{against}` could not be asked ({code})"));
            }
            None => return comparison.leave_out(format!("`{against}` was not enforced")),
        };
        let words = (&decided.result, &shadow.result);
        comparison.compare((*transaction, *minimum_confidence_ppm), words, denied_by(evaluations, against));
        let was_enforced = evaluations.iter().any(|one| decided_by(one, name));
        if !was_enforced && bound(bindings, name, Mode::Enforce).is_none() && reads_state(shadow) {
            comparison.remark(format!(
                "the shadow judged from nothing, for no `{name}` is enforced whose memory it could read"
            ));
        }
    }
}

fn bound(bindings: &[Binding], name: &str, mode: Mode) -> Option<B256> {
    let bound = bindings.iter().find(|binding| binding.mode == mode && binding.plugin == name);
    bound.map(|binding| binding.subject_digest)
}

fn reads_state(evaluation: &Evaluation) -> bool {
    let record = serde_json::from_str(&evaluation.record);
    record.is_ok_and(|record: EvaluationRecord| {
        !(record.state_reads.is_empty() && record.counter_reads.is_empty())
    })
}

/// What evaluations name the stored revision by.
async fn subject_of(hand: &Hand, id: PluginRevisionId) -> Result<B256> {
    let answer = hand.order(Act::ReadPlugin(id)).await?;
    let plugin = serde_json::from_value(answer.value).context("reading a plugin revision")?;
    let StoredPlugin { component, settings, grants } = plugin;
    Ok(subject_digest(B256::new(Digest::of(&component).0), &settings, &grants))
}
