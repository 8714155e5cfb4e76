//! A user's transactions.

use std::sync::Arc;

use axum::extract::State;
use futures::{StreamExt, TryStreamExt, stream};
use gateway_domain::{
    Address, Error, Timestamp,
    identity::{User, require_user},
    ports::{Store, TransactionFilter},
    sealed::Sealed,
    transactions::{CoreStatus, Transaction},
};

use crate::{
    answer::{Answered, ok},
    core::{
        authorization::Reach,
        call::Call,
        transactions::{Hearing, TransactionResponse},
    },
    extract::{Fields, Wire, scalar},
    failure::Failure,
    state::App,
};

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 200;
/// Transactions of a list that are read at once; the store has a handful of connections for reading.
const READ_TOGETHER: usize = 4;
/// Pages looked through for a status before the answer is given as it is.
const PAGES_MAX: usize = 16;

struct ListQuery {
    status: Option<CoreStatus>,
    limit: u32,
    before: Option<Timestamp>,
}

impl Wire for ListQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let statuses = CoreStatus::ALL.map(|status| (status.as_str(), status));
        let status = fields.optional("status", scalar::choice(&statuses));
        let limit = fields.optional("limit", scalar::count(1, LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT);
        let before = fields.optional("before", scalar::time);
        Some(Self { status, limit, before })
    }
}

/// The user's transactions, newest first.
#[utoipa::path(
    get,
    path = "/transactions/users/{ethereumAddress}",
    tag = "Transactions",
    params(
        ("ethereumAddress" = String, Path, pattern = "^0x[0-9a-fA-F]{40}$"),
        ("status" = Option<String>, Query, description = "PENDING, APPROVED, REJECTED, EXECUTED or FAILED."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Default 100."),
        ("before" = Option<String>, Query, format = "date-time", description = "Only transactions created before.")
    ),
    responses((status = 200, body = Vec<TransactionResponse>))
)]
pub(crate) async fn get_user_transactions(
    State(app): State<Arc<App>>,
    call: Call,
) -> Answered<Vec<TransactionResponse>> {
    let address = call.path("ethereumAddress", scalar::address_text)?;
    let query: ListQuery = call.query()?;
    refuse_other_wallets(&call, address)?;
    let organization = call.ctx.organization;
    let found = require_user(&app.services, organization, address).await;
    let user = found.map_err(|error| hidden(&call, error))?;
    if !call.reach.covers(user.id) {
        return Err(not_own());
    }
    let listed = matching(app.services.store.as_ref(), &user, &query).await?;
    let policy = Hearing::policy(&app.services, organization).await?;
    let hearings = stream::iter(listed).map(|transaction| Hearing::of(&app.services, &policy, transaction));
    let shown = hearings.buffered(READ_TOGETHER).map_ok(|hearing| TransactionResponse::of(&hearing));
    Ok(ok(shown.try_collect().await?))
}

/// A wallet or a user's key may not learn whether somebody else is a user.
fn refuse_other_wallets(call: &Call, address: Address) -> Result<(), Failure> {
    match call.reach {
        Reach::Wallet { address: own, .. } if own != address => Err(not_own()),
        Reach::Wallet { .. } | Reach::Organization | Reach::Principal(_) | Reach::Nobody => Ok(()),
    }
}

fn hidden(call: &Call, error: Error) -> Failure {
    match (call.reach, error) {
        (Reach::Principal(_), Error::NotFound(_)) => not_own(),
        (_, error) => error.into(),
    }
}

fn not_own() -> Failure {
    Error::Forbidden("users may only list their own transactions").into()
}

/// Pages until enough of the wanted status are found: whether an executed transaction counts as FAILED is not
/// in its indexed state.
async fn matching(
    store: &dyn Store,
    user: &User,
    query: &ListQuery,
) -> Result<Vec<Sealed<Transaction>>, Error> {
    let wanted = query.limit as usize;
    let mut filter =
        TransactionFilter { states: states(query.status), before: query.before, limit: query.limit };
    let mut found = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = store.transactions_of(user.organization, user.id, &filter).await?;
        let is_last = page.len() < wanted;
        filter.before = page.last().map(|last| last.created_at);
        let fits = |one: &Sealed<Transaction>| {
            query.status.is_none_or(|status| CoreStatus::of(&one.state) == status)
        };
        found.extend(page.into_iter().filter(fits));
        if is_last || found.len() >= wanted {
            break;
        }
    }
    found.truncate(wanted);
    Ok(found)
}

/// The domain's states that may show as `status`; all of them when none is asked for.
fn states(status: Option<CoreStatus>) -> Vec<&'static str> {
    match status {
        None => Vec::new(),
        Some(CoreStatus::Pending) => vec!["pending"],
        Some(CoreStatus::Approved) => vec!["approved", "signed", "submitted"],
        Some(CoreStatus::Rejected) => vec!["rejected", "aborted"],
        Some(CoreStatus::Executed) => vec!["executed"],
        Some(CoreStatus::Failed) => vec!["failed", "executed"],
    }
}
