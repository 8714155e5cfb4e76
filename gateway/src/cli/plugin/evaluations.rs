//! Reading what plugins said about past transactions, page by page, and plugins themselves, out of a gateway.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result};
use clap::Args;
use gateway_domain::{
    Error, Timestamp,
    actor::OpCtx,
    evaluations::{Evaluation, Purpose},
    ids::{PluginRevisionId, TransactionId},
    policy::Binding,
    ports::{DecisionReads as _, PolicyReads as _, TransactionReads as _},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    cli::{
        order::{Act, Answer},
        place::Hand,
    },
    wiring::Gateway,
};

/// Transactions of a page, and the bytes of records after which it ends earlier.
const PAGE_TRANSACTIONS: u32 = 100;
const PAGE_BYTES: usize = 4 << 20;

/// How far to go back.
#[derive(Debug, Args)]
pub(super) struct Since {
    /// Only transactions of so many days; without it, all.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    days: Option<u16>,
}

/// What was said about each of some transactions, in order of time.
#[derive(Serialize, Deserialize)]
struct Page {
    /// Of the policy in force.
    bindings: Vec<Binding>,
    evaluated: Vec<Evaluated>,
    /// Where the next page begins; none after the last.
    next: Option<TransactionId>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Evaluated {
    pub(super) transaction: TransactionId,
    /// Approvals of less confidence demanded the arbiter as well.
    pub(super) minimum_confidence_ppm: u32,
    pub(super) evaluations: Vec<Evaluation>,
}

/// A stored revision with its component.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredPlugin {
    #[serde(with = "hex::serde")]
    pub(super) component: Vec<u8>,
    pub(super) settings: String,
    pub(super) grants: BTreeSet<String>,
}

impl Since {
    /// Identifiers begin with their time, so an earlier one is a bound.
    fn bound(&self, now: Timestamp) -> TransactionId {
        let days = self.days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
        let millis = days.map_or(0, |days| now.minus(days).unix_millis());
        TransactionId::from_uuid(Uuid::from_u128(u128::from(millis) << 80))
    }
}

/// Hands over every evaluated transaction since then, oldest first, beside what is bound now; `tell` hears of each
/// page. What was a dry run is no transaction.
pub(super) async fn each(
    hand: &Hand,
    (since, now): (&Since, Timestamp),
    mut take: impl AsyncFnMut(&[Binding], Evaluated) -> Result<()>,
    tell: impl Fn(usize),
) -> Result<usize> {
    let (mut next, mut count) = (Some(since.bound(now)), 0);
    while let Some(after) = next {
        let answer = hand.order(Act::ReadEvaluations { after }).await?;
        let page: Page = serde_json::from_value(answer.value).context("reading a page of evaluations")?;
        let is_dry = |evaluation: &Evaluation| evaluation.purpose == Purpose::DryRun;
        for evaluated in page.evaluated.into_iter().filter(|one| !one.evaluations.iter().all(is_dry)) {
            count += 1;
            take(&page.bindings, evaluated).await?;
        }
        next = page.next;
        tell(count);
    }
    Ok(count)
}

pub(in crate::cli) async fn read_evaluations(
    gateway: &Gateway,
    ctx: &OpCtx,
    after: TransactionId,
) -> Result<Answer> {
    let ids = gateway.store.evaluated_transactions(ctx.organization, after, PAGE_TRANSACTIONS).await?;
    let (mut bytes, mut evaluated) = (0, Vec::new());
    for id in &ids {
        let found = gateway.store.evaluations(ctx.organization, *id).await?;
        let evaluations: Vec<_> = found.into_iter().map(gateway_domain::sealed::Sealed::into_value).collect();
        bytes += evaluations.iter().map(|evaluation| evaluation.record.len()).sum::<usize>();
        let transaction = gateway.store.transaction(ctx.organization, *id).await?;
        let minimum_confidence_ppm =
            transaction.map_or(0, |transaction| transaction.snapshot.minimum_confidence_ppm);
        evaluated.push(Evaluated { transaction: *id, minimum_confidence_ppm, evaluations });
        if bytes > PAGE_BYTES {
            break;
        }
    }
    let is_last = evaluated.len() == ids.len() && ids.len() < PAGE_TRANSACTIONS as usize;
    let next = evaluated.last().filter(|_| !is_last).map(|last| last.transaction);
    let policy = gateway.store.policy(ctx.organization).await?;
    let bindings = policy.map_or_else(Vec::new, |policy| policy.into_value().bindings);
    let value =
        serde_json::to_value(Page { bindings, evaluated, next }).context("writing a page of evaluations")?;
    Ok(Answer { value, lines: Vec::new() })
}

pub(in crate::cli) async fn read_plugin(
    gateway: &Gateway,
    ctx: &OpCtx,
    id: PluginRevisionId,
) -> Result<Answer> {
    let revision = gateway.store.plugin_revision(ctx.organization, id).await?;
    let revision = revision.ok_or(Error::NotFound("plugin revision"))?.into_value();
    let component = gateway.store.component(revision.component_digest).await?;
    let component = component.ok_or(Error::NotFound("component"))?;
    let plugin = StoredPlugin { component, settings: revision.settings, grants: revision.grants };
    Ok(Answer { value: json!(plugin), lines: Vec::new() })
}
