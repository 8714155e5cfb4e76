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
    ids::TransactionId,
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

struct ListQuery {
    status: Option<CoreStatus>,
    limit: u32,
    before: Option<Timestamp>,
    before_id: Option<TransactionId>,
}

impl Wire for ListQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let statuses = CoreStatus::ALL.map(|status| (status.as_str(), status));
        let status = fields.optional("status", scalar::choice(&statuses));
        let limit = fields.optional("limit", scalar::count(1, LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT);
        let before = fields.optional("before", scalar::time);
        let before_id = fields.optional("beforeId", scalar::uuid);
        Some(Self { status, limit, before, before_id })
    }
}

/// The user's transactions, newest first. Where there may be more, the header `link` says how to go on: it is the cursor,
/// and passes over nothing.
#[utoipa::path(
    get,
    path = "/transactions/users/{ethereumAddress}",
    tag = "Transactions",
    params(
        ("ethereumAddress" = inline(shapes::Address), Path),
        ("status" = inline(Option<shapes::TransactionStatus>), Query),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Default 100. Large transactions make \
            a page shorter."),
        ("before" = Option<String>, Query, format = "date-time", description = "Only transactions created before. No \
            cursor: `createdAt` is cut to milliseconds, so others of the same millisecond would be passed over. The \
            header `link` goes on where a page ends."),
        ("beforeId" = Option<String>, Query, format = "uuid", description = "Only transactions that come after this \
            one of the user's in the list.")
    ),
    responses((
        status = 200,
        body = Vec<TransactionResponse>,
        headers(("link" = String, description = "The next page, `rel=\"next\"`, where there may be one: the cursor."))
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
    let from = from(&app, &user, &query).await?;
    let policy = Hearing::policy(&app.services, organization).await?;
    let page = Page::of(&app, &policy, (&user, from), &query).await?;
    Ok(page.answer(address, &query))
}

/// A place in the list of a user's transactions, before a time or after a transaction that was made at it.
type Place = (Option<Timestamp>, Option<TransactionId>);

/// Where the page begins.
async fn from(app: &App, user: &User, query: &ListQuery) -> Result<Place, Failure> {
    let Some(id) = query.before_id else { return Ok((query.before, None)) };
    let last = app.services.store.transaction(user.organization, id).await?;
    let last = last.filter(|last| last.owner == user.id);
    let last = last.ok_or(Error::NotFound("transaction of the user with this beforeId"))?;
    Ok(match query.before {
        Some(before) if before <= last.created_at => (Some(before), None),
        Some(_) | None => (Some(last.created_at), Some(id)),
    })
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
    /// Its last transaction, if older ones may follow.
    next: Option<TransactionId>,
}

impl Page {
    /// Reads on until there are enough, the budget is used up or nothing is left: size is known once it is written.
    async fn of(
        app: &App,
        policy: &Policy,
        (user, (before, before_id)): (&User, Place),
        query: &ListQuery,
    ) -> Result<Self, Failure> {
        let mut page = Self::default();
        let limit = CHUNK.min(query.limit);
        let mut filter = TransactionFilter { states: states(query.status), before, before_id, limit };
        loop {
            let chunk = app.services.store.transactions_of(user.organization, user.id, &filter).await?;
            let is_last = chunk.len() < filter.limit as usize;
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
        let mut hearings = stream::iter(chunk)
            .map(|transaction| Hearing::of(&app.services, policy, transaction))
            .buffered(READ_TOGETHER);
        while let Some(hearing) = hearings.next().await {
            let hearing = hearing?;
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
            self.next = Some(hearing.transaction.id);
            if self.count == query.limit {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn answer(self, address: Address, query: &ListQuery) -> Response {
        let Self { json, next, .. } = self;
        let array = [b"[", json.as_slice(), b"]"].concat();
        let mut response = answer::json(StatusCode::OK, array);
        if let Some(next) = next {
            let link = HeaderValue::try_from(next_link(address, query, next))
                .expect("addresses, words, numbers and ids are visible ASCII");
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

/// RFC 8288.
fn next_link(address: Address, query: &ListQuery, last: TransactionId) -> String {
    let address = presentation::address(address);
    let status = query.status.map_or_else(String::new, |status| format!("&status={}", status.as_str()));
    let limit = query.limit;
    format!("</transactions/users/{address}?beforeId={last}&limit={limit}{status}>; rel=\"next\"")
}

/// The domain's states that show as `status`; all of them when none is asked for.
fn states(status: Option<CoreStatus>) -> Vec<&'static str> {
    match status {
        None => Vec::new(),
        Some(CoreStatus::Pending) => vec!["pending"],
        Some(CoreStatus::Approved) => vec!["approved", "signed", "submitted", "handed_over"],
        Some(CoreStatus::Rejected) => vec!["rejected", "aborted"],
        Some(CoreStatus::Executed) => vec!["executed", "executed_by_vendor", "settled"],
        Some(CoreStatus::Failed) => vec!["failed", "reverted"],
    }
}
