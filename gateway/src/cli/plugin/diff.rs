//! `countersign plugin diff`: a shadow beside what was decided on.

use anyhow::Result;
use clap::Args;
use gateway_domain::{Clock as _, evaluations::Purpose};

use super::{
    comparison::{Comparison, last_word},
    evaluations::{self, Evaluated, Since},
};
use crate::{
    adapters::system::SystemClock,
    cli::{
        output::{Format, progress},
        place::{Hand, OrganizationPlace},
        status::Status,
    },
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Diff {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Name of the plugin that is bound as a shadow.
    #[arg(value_name = "SHADOW")]
    shadow: String,
    /// Name of the enforced plugin that it is compared with. Without it, the one of the same name.
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
        let mut comparison = Comparison::listing(self.list);
        let take = async |Evaluated { transaction, minimum_confidence_ppm, evaluations }: Evaluated| {
            let against = self.against.as_ref().unwrap_or(&self.shadow);
            let decided = last_word(&evaluations, against, Purpose::Decision);
            let shadow = last_word(&evaluations, &self.shadow, Purpose::Shadow);
            if let (Some(decided), Some(shadow)) = (decided, shadow) {
                comparison.compare((transaction, minimum_confidence_ppm), &decided.result, &shadow.result);
            }
            Ok(())
        };
        let tell = |count| progress(&format!("{count} transactions read"));
        evaluations::each(hand, (&self.since, SystemClock.now()), take, tell).await?;
        Ok(comparison)
    }
}
