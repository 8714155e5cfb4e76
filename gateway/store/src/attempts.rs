//! Signing attempts and the nonces they hold.

use gateway_domain::{
    Address, Result,
    chain::ChainId,
    changes::Contested,
    ids::{OrganizationId, TransactionId},
    sealed::Sealed,
    transactions::{Attempt, AttemptOutcome},
};

use crate::{
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::{Reader, Stored},
    statement::{Expect, Statement},
};

macro_rules! columns {
    () => {
        "id, organization, transaction_id, key_id, chain, address, nonce, pricing, payload, digest, outcome, \
         outcome_facts, version, created_at, seal"
    };
}

const OF_TRANSACTION: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM attempts WHERE organization = $1 AND transaction_id = $2 ORDER BY created_at, id"
);
const HELD: &str =
    "SELECT nonce FROM nonces WHERE chain = $1 AND address = $2 AND nonce >= $3 ORDER BY nonce";

/// Takes the nonce unless another transaction holds it; replacements find it held by their own.
const TAKE_NONCE: &str = "INSERT INTO nonces (chain, address, nonce, transaction_id) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (chain, address, nonce) DO UPDATE SET transaction_id = excluded.transaction_id \
     WHERE nonces.transaction_id = excluded.transaction_id";

const REQUIRE_NONCE: &str = "UPDATE nonces SET transaction_id = transaction_id \
     WHERE chain = $1 AND address = $2 AND nonce = $3";

/// Frees the nonce when no live attempt of the transaction is left on it.
const FREE_NONCE: &str = "DELETE FROM nonces WHERE chain = $1 AND address = $2 AND nonce = $3 AND transaction_id = $4 \
     AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.organization = $5 AND a.transaction_id = $4 \
     AND a.chain = $1 AND a.address = $2 AND a.nonce = $3 AND a.outcome <> 'released')";

const UPDATE: &str = "UPDATE attempts SET outcome = $3, outcome_facts = $4, version = $5, seal = $6 \
     WHERE id = $1 AND organization = $2 AND version = $5 - 1";

pub(crate) fn insert(attempt: &Sealed<Attempt>) -> Result<[Statement; 2], TooLarge> {
    let take = nonce_values(Statement::new(TAKE_NONCE), attempt)?.expecting(Expect::Change(Contested::Nonce));
    let sql = concat!(
        "INSERT INTO attempts (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
    );
    let row = Statement::new(sql)
        .shown(attempt.id)
        .shown(attempt.organization)
        .shown(attempt.transaction)
        .shown(attempt.key)
        .shown(attempt.chain)
        .hex(attempt.address)
        .unsigned("nonce", attempt.nonce)?
        .json(&attempt.pricing)
        .bind(attempt.payload.as_slice())
        .bind(attempt.digest)
        .bind(attempt.outcome.name())
        .json(&attempt.outcome)
        .unsigned("version", attempt.version)?
        .bind(attempt.created_at)
        .shown(attempt.seal());
    Ok([take, row])
}

pub(crate) fn require_nonce(chain: ChainId, address: Address, nonce: u64) -> Result<Statement, TooLarge> {
    let statement = Statement::new(REQUIRE_NONCE).shown(chain).hex(address).unsigned("nonce", nonce)?;
    Ok(statement.expecting(Expect::Change(Contested::Nonce)))
}

pub(crate) fn update(attempt: &Sealed<Attempt>) -> Result<Vec<Statement>, TooLarge> {
    let row = Statement::new(UPDATE)
        .shown(attempt.id)
        .shown(attempt.organization)
        .bind(attempt.outcome.name())
        .json(&attempt.outcome)
        .unsigned("version", attempt.version)?
        .shown(attempt.seal())
        .expecting(Expect::Change(Contested::Version));
    Ok(match attempt.outcome {
        AttemptOutcome::Released => {
            vec![row, nonce_values(Statement::new(FREE_NONCE), attempt)?.shown(attempt.organization)]
        }
        AttemptOutcome::Prepared | AttemptOutcome::Signed { .. } => vec![row],
    })
}

fn nonce_values(statement: Statement, attempt: &Attempt) -> Result<Statement, TooLarge> {
    Ok(statement
        .shown(attempt.chain)
        .hex(attempt.address)
        .unsigned("nonce", attempt.nonce)?
        .shown(attempt.transaction))
}

pub(crate) async fn of_transaction(
    reads: &Reader,
    organization: OrganizationId,
    transaction: TransactionId,
) -> Result<Vec<Sealed<Attempt>>> {
    reads.list(Statement::new(OF_TRANSACTION).shown(organization).shown(transaction)).await
}

pub(crate) async fn held_nonces(
    reads: &Reader,
    chain: ChainId,
    address: Address,
    from: u64,
) -> Result<Vec<u64>> {
    // No stored nonce is larger than the column, so a larger bound finds nothing.
    let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
    let rows = reads.rows(Statement::new(HELD).shown(chain).hex(address).bind(from)).await?;
    let nonces: Result<_, Malformed> =
        rows.iter().map(|row| Fields::new("nonces", row).unsigned("nonce")).collect();
    Ok(nonces?)
}

impl Stored for Attempt {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        let outcome: AttemptOutcome = row.json("outcome_facts")?;
        row.agree("outcome", row.text("outcome")? == outcome.name())?;
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            transaction: row.parsed("transaction_id")?,
            key: row.parsed("key_id")?,
            chain: row.parsed("chain")?,
            address: row.parsed("address")?,
            nonce: row.unsigned("nonce")?,
            pricing: row.json("pricing")?,
            payload: row.bytes("payload")?,
            digest: row.parsed("digest")?,
            outcome,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
        })
    }
}
