//! Questions about earlier transactions.

use std::time::{Duration, Instant};

use gateway_domain::{
    Address,
    history::{HistoryExceeded, Selection, Stage},
    transactions::Transaction,
};
use plugin_host::{FailureCode, HistoryAnswer, HistoryQuestion, OutsideError, PastTransaction};

use super::{Outside, wait};

impl Outside {
    pub(super) fn ask_history(
        &self,
        question: &HistoryQuestion,
        deadline: Instant,
    ) -> Result<HistoryAnswer, OutsideError> {
        let selection = selection(question.selection())?;
        let look_up = self.look_up(question, &selection);
        let Some(found) = wait(&self.reach.runtime, deadline, look_up) else {
            let detail = "the deadline passed while history was read";
            return Err(OutsideError::new(FailureCode::Timeout, detail));
        };
        match found {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(exceeded)) => Err(OutsideError::new(FailureCode::HistoryLimit, exceeded.to_string())),
            Err(error) => {
                let shown = OutsideError::new(FailureCode::HistoryUnavailable, error.to_string());
                self.state.fail(error);
                Err(shown)
            }
        }
    }

    async fn look_up(
        &self,
        question: &HistoryQuestion,
        selection: &Selection,
    ) -> gateway_domain::Result<Result<HistoryAnswer, HistoryExceeded>> {
        if let HistoryQuestion::Last { limit, .. } = question {
            let last = self.history.last(selection, *limit).await?;
            return Ok(last.map(|found| HistoryAnswer::Transactions(found.iter().map(past).collect())));
        }
        let found = self.history.select(selection).await?;
        Ok(found.map(|found| match question {
            HistoryQuestion::Sum(_) => HistoryAnswer::Amount(found.sum()),
            HistoryQuestion::DistinctRecipients(_) => HistoryAnswer::Number(found.distinct_recipients()),
            HistoryQuestion::Count(_) | HistoryQuestion::Last { .. } => HistoryAnswer::Number(found.count()),
        }))
    }
}

fn selection(asked: &plugin_host::Selection) -> Result<Selection, OutsideError> {
    let malformed = |recipient: &String| {
        let shown = plugin_host::plain(recipient, 64);
        let detail = format!("history: the recipient `{shown}` must be `0x` and 40 hexadecimal digits");
        OutsideError::new(FailureCode::InvalidOutput, detail)
    };
    let recipient = |text: &String| text.parse::<Address>().map_err(|_| malformed(text));
    Ok(Selection {
        stage: match asked.stage {
            plugin_host::Stage::Open => Stage::Open,
            plugin_host::Stage::Released => Stage::Released,
            plugin_host::Stage::Ended => Stage::Ended,
        },
        same_key: asked.same_key,
        recipient: asked.recipient.as_ref().map(recipient).transpose()?,
        window: Duration::from_secs(asked.window_seconds.into()),
    })
}

fn past(transaction: &Transaction) -> PastTransaction {
    let intent = &transaction.intent;
    PastTransaction {
        transaction_id: transaction.id.to_string(),
        key_id: intent.key.to_string(),
        recipient: intent.to.map(|to| format!("{to:#x}")),
        value: intent.value.to_string(),
        selector: intent.data.get(..4).map(|selector| format!("0x{}", hex::encode(selector))),
        created_at_ms: transaction.created_at.unix_millis(),
    }
}
