//! Transactions. The intent has columns of its own, written once.

use async_trait::async_trait;
use gateway_domain::{
    B256, Result, Timestamp,
    changes::{Contested, Idempotency},
    fireblocks::FireblocksAccount,
    ids::{OrganizationId, PrincipalId, TransactionId},
    ports::{PastFilter, RecipientHistory, TransactionFilter, TransactionReads},
    sealed::Sealed,
    transactions::{Intent, State, Transaction},
};

use crate::{
    error::{Malformed, TooLarge},
    fields::Fields,
    guards,
    reader::Stored,
    statement::{Expect, Statement},
    store::Store,
};

macro_rules! columns {
    () => {
        "id, organization, request_hash, request_nonce, initiator, owner, owner_address, execution_type, \
         provider, key_id, chain, kind, from_address, to_address, value, data, ceilings, vendor_account, intent_hash, \
         snapshot, note, state, state_facts, version, created_at, updated_at, verification_service, request_digest, seal"
    };
}

macro_rules! newest_in_state {
    ($state:literal, $alias:literal) => {
        concat!(
            "SELECT * FROM (SELECT id FROM transactions WHERE organization = $1 AND owner = $2 AND state = ",
            $state,
            " AND (created_at, id) < ($3, $4) ORDER BY created_at DESC, id DESC LIMIT $5) AS ",
            $alias
        )
    };
}

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM transactions WHERE organization = $1 AND id = $2");
const BY_REQUEST_HASH: &str =
    concat!("SELECT ", columns!(), " FROM transactions WHERE organization = $1 AND request_hash = $2");
const OF_OWNER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM transactions WHERE organization = $1 AND owner = $2 AND (created_at, id) < ($3, $4) \
     ORDER BY created_at DESC, id DESC LIMIT $5"
);
/// Each state is looked up by itself and stops at a page, so that a rare one costs no more than a common one. The
/// organization is named in each look-up and not around them: there SQLite would take it for the index to walk.
const OF_OWNER_IN_STATES: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM transactions WHERE id IN (",
    newest_in_state!("$6", "one"),
    " UNION ALL ",
    newest_in_state!("$7", "two"),
    " UNION ALL ",
    newest_in_state!("$8", "three"),
    " UNION ALL ",
    newest_in_state!("$9", "four"),
    " UNION ALL ",
    newest_in_state!("$10", "five"),
    " UNION ALL ",
    newest_in_state!("$11", "six"),
    " UNION ALL ",
    newest_in_state!("$12", "seven"),
    " UNION ALL ",
    newest_in_state!("$13", "eight"),
    " UNION ALL ",
    newest_in_state!("$14", "nine"),
    ") ORDER BY created_at DESC, id DESC LIMIT $5"
);
const OPEN: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM transactions WHERE organization = $1 AND state IN ('pending', 'approved') ORDER BY created_at, id LIMIT $2"
);
/// The condition on the time comes first, so that both engines walk the index and stop at the limit.
const PAST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM transactions WHERE organization = $1 AND chain = $2 AND created_at > $3 AND kind = $4 AND id <> $5 \
     AND ($6 = '' OR key_id = $6) AND ($7 = '' OR to_address = $7) ORDER BY created_at DESC, id DESC LIMIT $8"
);
/// Rows of both kinds, whose seals are opened before they count; each kind stops early, so that a busy recipient
/// costs no more than a quiet one.
macro_rules! recipient_history {
    ($executed:literal) => {
        concat!(
            "SELECT * FROM (SELECT ",
            columns!(),
            " FROM transactions WHERE organization = $1 AND key_id = $2 AND from_address = $8 AND to_address = $3 \
             AND id <> $4 AND ",
            $executed,
            " ORDER BY created_at DESC LIMIT 1) AS executed_ones UNION ALL SELECT * FROM (SELECT ",
            columns!(),
            " FROM transactions WHERE organization = $1 AND key_id = $2 AND from_address = $8 AND to_address = $3 \
             AND state = 'rejected' AND id <> $4 AND chain = $5 AND substr(data, 1, 4) = $6 AND created_at > $7 \
             ORDER BY created_at DESC LIMIT 20) AS denied_ones"
        )
    };
}

const RECIPIENT_HISTORY: &str = recipient_history!("state IN ('executed', 'executed_by_vendor')");
/// Where nobody here executes, what was reported is all there is.
const RECIPIENT_HISTORY_ELSEWHERE: &str = recipient_history!("state = 'settled'");

/// More places than one status of any family has states; spare ones name none.
const STATES: usize = 9;
const NO_STATE: &str = "";

pub(crate) fn insert(transaction: &Sealed<Transaction>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO transactions (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
         $21, $22, $23, $24, $25, $26, $27, $28, $29)"
    );
    let intent = &transaction.intent;
    Ok(Statement::new(sql)
        .shown(transaction.id)
        .shown(transaction.organization)
        .bind(transaction.request_hash)
        .shown(transaction.request_nonce)
        .shown(transaction.initiator)
        .shown(transaction.owner)
        .hex(transaction.owner_address)
        .word(&transaction.execution_type)
        .word(&transaction.provider)
        .shown(intent.key)
        .shown(intent.chain)
        .word(&intent.kind)
        .hex(intent.from)
        .bind(intent.to)
        .shown(intent.value)
        .bind(intent.data.as_slice())
        .json(&intent.ceilings)
        .bind(intent.vendor_account.as_ref().map(vendor_account_text))
        .bind(transaction.intent_hash)
        .json(&transaction.snapshot)
        .bind(transaction.note.clone())
        .bind(transaction.state.name())
        .json(&transaction.state)
        .unsigned("version", transaction.version)?
        .bind(transaction.created_at)
        .bind(transaction.updated_at)
        .bind(transaction.verification_service)
        .bind(transaction.request_digest)
        .shown(transaction.seal()))
}

fn vendor_account_text(account: &FireblocksAccount) -> String {
    serde_json::to_string(account).expect("stored values have string keys only")
}

/// Writes what may change. Any other difference breaks the row's seal and is noticed at the next read.
pub(crate) fn update(transaction: &Sealed<Transaction>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(
        "UPDATE transactions SET note = $3, state = $4, state_facts = $5, version = $6, updated_at = $7, seal = $8 \
         WHERE id = $1 AND organization = $2 AND version = $6 - 1",
    )
    .shown(transaction.id)
    .shown(transaction.organization)
    .bind(transaction.note.clone())
    .bind(transaction.state.name())
    .json(&transaction.state)
    .unsigned("version", transaction.version)?
    .bind(transaction.updated_at)
    .shown(transaction.seal())
    .expecting(Expect::Change(Contested::Version)))
}

impl Stored for Transaction {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        let state: State = row.json("state_facts")?;
        row.agree("state", row.text("state")? == state.name())?;
        let vendor_account = row.optional_text("vendor_account")?;
        let vendor_account = vendor_account.map(|text| serde_json::from_str(&text));
        let (id, organization) = (row.parsed("id")?, row.parsed("organization")?);
        Ok(Self {
            id,
            organization,
            request_hash: row.parsed("request_hash")?,
            request_nonce: row.parsed("request_nonce")?,
            request_digest: row.parsed("request_digest")?,
            initiator: row.parsed("initiator")?,
            owner: row.parsed("owner")?,
            owner_address: row.parsed("owner_address")?,
            execution_type: row.word("execution_type")?,
            provider: row.word("provider")?,
            verification_service: row.optional_unsigned("verification_service")?,
            intent: Intent {
                organization,
                transaction: id,
                key: row.parsed("key_id")?,
                chain: row.parsed("chain")?,
                kind: row.word("kind")?,
                from: row.parsed("from_address")?,
                to: row.optional_parsed("to_address")?,
                value: row.parsed("value")?,
                data: row.bytes("data")?,
                ceilings: row.json("ceilings")?,
                vendor_account: vendor_account
                    .transpose()
                    .map_err(|cause| row.malformed("vendor_account", cause))?,
            },
            intent_hash: row.parsed("intent_hash")?,
            snapshot: row.json("snapshot")?,
            note: row.optional_text("note")?,
            state,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

#[async_trait]
impl TransactionReads for Store {
    async fn transaction(
        &self,
        organization: OrganizationId,
        id: TransactionId,
    ) -> Result<Option<Sealed<Transaction>>> {
        self.reads.optional(Statement::new(BY_ID).shown(organization).shown(id)).await
    }

    async fn transaction_by_request_hash(
        &self,
        organization: OrganizationId,
        hash: B256,
    ) -> Result<Option<Sealed<Transaction>>> {
        self.reads.optional(Statement::new(BY_REQUEST_HASH).shown(organization).bind(hash)).await
    }

    async fn transactions_of(
        &self,
        organization: OrganizationId,
        owner: PrincipalId,
        filter: &TransactionFilter,
    ) -> Result<Vec<Sealed<Transaction>>> {
        let before = filter.before.unwrap_or(Timestamp::from_unix_micros(i64::MAX));
        // No id is smaller than the empty text.
        let before_id = filter.before_id.map(|id| id.to_string()).unwrap_or_default();
        let bound = |sql| {
            let ends = Statement::new(sql).shown(organization).shown(owner).bind(before);
            ends.bind(before_id.as_str()).bind(filter.limit)
        };
        if filter.states.is_empty() {
            return self.reads.list(bound(OF_OWNER)).await;
        }
        debug_assert!(filter.states.len() <= STATES, "there are {STATES} states");
        let places = filter.states.iter().chain(std::iter::repeat(&NO_STATE)).take(STATES);
        let statement = places.fold(bound(OF_OWNER_IN_STATES), |statement, state| statement.bind(*state));
        self.reads.list(statement).await
    }

    async fn open_transactions(
        &self,
        organization: OrganizationId,
        limit: u32,
    ) -> Result<Vec<Sealed<Transaction>>> {
        self.reads.list(Statement::new(OPEN).shown(organization).bind(limit)).await
    }

    async fn past_transactions(
        &self,
        intent: &Intent,
        filter: &PastFilter,
    ) -> Result<Vec<Sealed<Transaction>>> {
        let key = if filter.same_key { intent.key.to_string() } else { String::new() };
        let recipient = filter.recipient.map(|address| format!("{address:#x}")).unwrap_or_default();
        let statement = Statement::new(PAST)
            .shown(intent.organization)
            .shown(intent.chain)
            .bind(filter.after)
            .word(&intent.kind)
            .shown(intent.transaction)
            .bind(key)
            .bind(recipient)
            .bind(filter.limit);
        self.reads.list(statement).await
    }

    async fn recipient_history(&self, intent: &Intent, denied_since: Timestamp) -> Result<RecipientHistory> {
        let Some(to) = intent.to else { return Ok(RecipientHistory::default()) };
        let is_elsewhere = intent.key == Intent::NO_KEY;
        let sql = if is_elsewhere { RECIPIENT_HISTORY_ELSEWHERE } else { RECIPIENT_HISTORY };
        let statement = Statement::new(sql)
            .shown(intent.organization)
            .shown(intent.key)
            .hex(to)
            .shown(intent.transaction)
            .shown(intent.chain)
            .bind(intent.selector())
            .bind(denied_since)
            .hex(intent.from);
        let found: Vec<Sealed<Transaction>> = self.reads.list(statement).await?;
        let count =
            |wanted: fn(&State) -> bool| found.iter().filter(|found| wanted(&found.state)).count() as u64;
        Ok(RecipientHistory {
            executed: count(State::has_paid),
            denied: count(|state| matches!(state, State::Rejected { .. })),
        })
    }

    async fn idempotency(
        &self,
        organization: OrganizationId,
        principal: PrincipalId,
        operation: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Idempotency>> {
        guards::idempotency(&self.reads, (organization, principal), (operation, key), now).await
    }
}
