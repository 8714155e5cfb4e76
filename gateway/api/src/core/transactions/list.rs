//! A user's transactions.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use futures::{StreamExt, stream};
use gateway_domain::{
    Address, Error, Timestamp,
    identity::{User, require_user},
    policy::Policy,
    ports::TransactionFilter,
    sealed::Sealed,
    transactions::{CoreStatus, Transaction},
};

use crate::{
    answer,
    core::{
        authorization::Reach,
        call::Call,
        shapes,
        transactions::{Hearing, TransactionResponse},
    },
    extract::{Fields, Wire, scalar},
    failure::Failure,
    presentation,
    state::App,
};

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 200;
/// Transactions of a list that are read at once; the store has a handful of connections for reading.
const READ_TOGETHER: usize = 4;
/// Transactions read from the store at once: what is in memory beside the page itself.
const CHUNK: u32 = 16;
/// Transactions looked through for a status before the answer is given as it is.
const LOOKED_AT_MAX: u32 = 3_200;

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

/// The user's transactions, newest first. Where there may be more, the header `link` says how to go on.
#[utoipa::path(
    get,
    path = "/transactions/users/{ethereumAddress}",
    tag = "Transactions",
    params(
        ("ethereumAddress" = inline(shapes::Address), Path),
        ("status" = inline(Option<shapes::TransactionStatus>), Query),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Default 100. Large transactions make \
            a page shorter."),
        ("before" = Option<String>, Query, format = "date-time", description = "Only transactions created before.")
    ),
    responses((
        status = 200,
        body = Vec<TransactionResponse>,
        headers(("link" = String, description = "The next page, `rel=\"next\"`, where there may be one."))
    ))
)]
pub(crate) async fn get_user_transactions(
    State(app): State<Arc<App>>,
    call: Call,
) -> Result<Response, Failure> {
    let address = call.path("ethereumAddress", scalar::address_text)?;
    let query: ListQuery = call.query()?;
    refuse_other_wallets(&call, address)?;
    let organization = call.ctx.organization;
    let found = require_user(&app.services, organization, address).await;
    let user = found.map_err(|error| hidden(&call, error))?;
    if !call.reach.covers(user.id) {
        return Err(not_own());
    }
    let policy = Hearing::policy(&app.services, organization).await?;
    let page = Page::of(&app, &policy, &user, &query).await?;
    Ok(page.answer(address, &query))
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

/// A page as it grows: the JSON of its members, never more than the budget and one transaction besides.
#[derive(Default)]
struct Page {
    json: Vec<u8>,
    count: u32,
    /// When the last transaction that was looked at was made, if older ones may follow.
    next: Option<Timestamp>,
}

impl Page {
    /// Reads on until there are enough of the wanted status, the budget is used up or nothing is left: whether an
    /// executed transaction counts as FAILED is not in its indexed state, and size is known once it is written.
    async fn of(app: &App, policy: &Policy, user: &User, query: &ListQuery) -> Result<Self, Failure> {
        let mut page = Self::default();
        let mut filter = TransactionFilter {
            states: states(query.status),
            before: query.before,
            before_id: None,
            limit: CHUNK.min(query.limit),
        };
        let mut looked_at = 0;
        loop {
            let chunk = app.services.store.transactions_of(user.organization, user.id, &filter).await?;
            let is_last = chunk.len() < filter.limit as usize;
            looked_at += filter.limit;
            filter.before = chunk.last().map(|last| last.created_at);
            filter.before_id = chunk.last().map(|last| last.id);
            let full = page.take(app, policy, chunk, query).await?;
            if full {
                return Ok(page);
            }
            if is_last {
                page.next = None;
                return Ok(page);
            }
            if looked_at >= LOOKED_AT_MAX {
                return Ok(page);
            }
        }
    }

    /// Adds what fits of `chunk`; true once the page is full.
    async fn take(
        &mut self,
        app: &App,
        policy: &Policy,
        chunk: Vec<Sealed<Transaction>>,
        query: &ListQuery,
    ) -> Result<bool, Failure> {
        let fits = |one: &Sealed<Transaction>| {
            query.status.is_none_or(|status| CoreStatus::of(&one.state) == status)
        };
        let end = chunk.last().map(|last| last.created_at);
        let wanted = stream::iter(chunk.into_iter().filter(fits));
        let mut hearings =
            wanted.map(|transaction| Hearing::of(&app.services, policy, transaction)).buffered(READ_TOGETHER);
        while let Some(hearing) = hearings.next().await {
            let hearing = hearing?;
            let made_at = hearing.transaction.created_at;
            let json = serde_json::to_vec(&TransactionResponse::of(&hearing))
                .expect("wire types have string keys only");
            if self.count > 0 && self.json.len() + json.len() > app.config.list_bytes_max {
                return Ok(true);
            }
            if self.count > 0 {
                self.json.push(b',');
            }
            self.json.extend(json);
            self.count += 1;
            self.next = Some(made_at);
            if self.count == query.limit {
                return Ok(true);
            }
        }
        self.next = end;
        Ok(false)
    }

    fn answer(self, address: Address, query: &ListQuery) -> Response {
        let Self { json, next, .. } = self;
        let array = [b"[", json.as_slice(), b"]"].concat();
        let mut response = answer::json(StatusCode::OK, array);
        if let Some(next) = next {
            let link = HeaderValue::try_from(next_link(address, query, next))
                .expect("addresses, words, numbers and times are visible ASCII");
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

/// RFC 8288. The time has microseconds, so that nothing made in the same millisecond is passed over.
fn next_link(address: Address, query: &ListQuery, before: Timestamp) -> String {
    let (address, before) = (presentation::address(address), presentation::exact_time(before));
    let status = query.status.map_or_else(String::new, |status| format!("&status={}", status.as_str()));
    let limit = query.limit;
    format!("</transactions/users/{address}?before={before}&limit={limit}{status}>; rel=\"next\"")
}

/// The domain's states that may show as `status`; all of them when none is asked for.
fn states(status: Option<CoreStatus>) -> Vec<&'static str> {
    match status {
        None => Vec::new(),
        Some(CoreStatus::Pending) => vec!["pending"],
        Some(CoreStatus::Approved) => vec!["approved", "signed", "submitted", "handed_over"],
        Some(CoreStatus::Rejected) => vec!["rejected", "aborted"],
        Some(CoreStatus::Executed) => vec!["executed", "executed_by_vendor", "settled"],
        Some(CoreStatus::Failed) => vec!["failed", "executed"],
    }
}
