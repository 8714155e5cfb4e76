//! What was said about intents: votes and evaluations.

use async_trait::async_trait;
use gateway_domain::{
    Address, Result, Timestamp,
    approvals::Vote,
    chain::ChainId,
    changes::Contested,
    evaluations::{DryRunRoom, Evaluation},
    ids::{OrganizationId, PrincipalId, TransactionId},
    policy::PermitRecord,
    ports::DecisionReads,
    sealed::Sealed,
    transactions::Attempt,
};

use crate::{
    attempts,
    dialect::EngineSql,
    error::{Malformed, TooLarge},
    fields::Fields,
    permits,
    reader::Stored,
    standings,
    statement::{Expect, Statement},
    store::Store,
};

macro_rules! vote_columns {
    () => {
        "id, organization, transaction_id, intent_hash, principal, ordinal, role, ballot, evidence, confidence_ppm, \
         analysis, created_at, seal"
    };
}

macro_rules! evaluation_columns {
    () => {
        "id, organization, transaction_id, intent_hash, binding, policy_revision, subject_digest, subject_name, \
         purpose, result, duration_micros, record, created_at, seal"
    };
}

const VOTES: &str = concat!(
    "SELECT ",
    vote_columns!(),
    " FROM votes WHERE organization = $1 AND transaction_id = $2 ORDER BY created_at, id"
);
const EVALUATIONS: &str = concat!(
    "SELECT ",
    evaluation_columns!(),
    " FROM evaluations WHERE organization = $1 AND transaction_id = $2 ORDER BY created_at, id"
);

/// The index on transactions is walked from there and left at the limit.
const EVALUATED: &str = "SELECT DISTINCT transaction_id FROM evaluations WHERE organization = $1 AND transaction_id > $2 \
     ORDER BY transaction_id LIMIT $3";

macro_rules! dry_runs_since {
    ($what:literal, $organization:literal, $since:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM evaluations WHERE organization = ",
            $organization,
            " AND purpose = 'dry_run' AND created_at > ",
            $since
        )
    };
}
const DRY_RUNS: &str = dry_runs_since!("COUNT(*) AS stored", "$1", "$2");
const INSERT_DRY_RUN: &str = concat!(
    "INSERT INTO evaluations (",
    evaluation_columns!(),
    ") SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 WHERE (",
    dry_runs_since!("COUNT(*)", "$2", "$15"),
    ") < $16"
);

pub(crate) fn insert_vote(vote: &Sealed<Vote>) -> Statement {
    let sql = concat!(
        "INSERT INTO votes (",
        vote_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
    );
    Statement::new(sql)
        .shown(vote.id)
        .shown(vote.organization)
        .shown(vote.transaction)
        .bind(vote.intent_hash)
        .shown(vote.principal)
        .bind(vote.ordinal)
        .shown(&vote.role)
        .word(&vote.ballot)
        .json(&vote.evidence)
        .bind(vote.confidence_ppm)
        .bind(vote.analysis.clone())
        .bind(vote.created_at)
        .shown(vote.seal())
}

pub(crate) fn insert_evaluation(evaluation: &Sealed<Evaluation>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO evaluations (",
        evaluation_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    );
    evaluation_values(Statement::new(sql), evaluation)
}

/// Counts and inserts in one statement, as uploads of plugins do.
pub(crate) fn insert_dry_run(
    evaluation: &Sealed<Evaluation>,
    room: DryRunRoom,
    sql: &EngineSql,
) -> Result<Vec<Statement>, TooLarge> {
    let lock = sql.lock_quota("dry-runs", evaluation.organization);
    let insert = evaluation_values(Statement::new(INSERT_DRY_RUN), evaluation)?
        .bind(room.since)
        .bind(room.evaluations_max)
        .expecting(Expect::Change(Contested::Quota));
    Ok(lock.into_iter().chain([insert]).collect())
}

fn evaluation_values(statement: Statement, evaluation: &Sealed<Evaluation>) -> Result<Statement, TooLarge> {
    Ok(statement
        .shown(evaluation.id)
        .shown(evaluation.organization)
        .shown(evaluation.transaction)
        .bind(evaluation.intent_hash)
        .shown(evaluation.binding)
        .unsigned("policy_revision", evaluation.policy_revision)?
        .bind(evaluation.subject_digest)
        .bind(evaluation.subject_name.as_str())
        .word(&evaluation.purpose)
        .json(&evaluation.result)
        .unsigned("duration_micros", evaluation.duration_micros)?
        .bind(evaluation.record.as_str())
        .bind(evaluation.created_at)
        .shown(evaluation.seal()))
}

impl Stored for Vote {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            transaction: row.parsed("transaction_id")?,
            intent_hash: row.parsed("intent_hash")?,
            principal: row.parsed("principal")?,
            ordinal: row.unsigned("ordinal")?,
            role: row.text("role")?.into(),
            ballot: row.word("ballot")?,
            evidence: row.json("evidence")?,
            confidence_ppm: row.optional_unsigned("confidence_ppm")?,
            analysis: row.optional_text("analysis")?,
            created_at: row.time("created_at")?,
        })
    }
}

impl Stored for Evaluation {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            transaction: row.parsed("transaction_id")?,
            intent_hash: row.parsed("intent_hash")?,
            binding: row.parsed("binding")?,
            policy_revision: row.unsigned("policy_revision")?,
            subject_digest: row.parsed("subject_digest")?,
            subject_name: row.text("subject_name")?,
            purpose: row.word("purpose")?,
            result: row.json("result")?,
            duration_micros: row.unsigned("duration_micros")?,
            record: row.text("record")?,
            created_at: row.time("created_at")?,
        })
    }
}

#[async_trait]
impl DecisionReads for Store {
    async fn votes(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Vec<Sealed<Vote>>> {
        self.reads.list(Statement::new(VOTES).shown(organization).shown(transaction)).await
    }

    async fn evaluations(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Vec<Sealed<Evaluation>>> {
        self.reads.list(Statement::new(EVALUATIONS).shown(organization).shown(transaction)).await
    }

    async fn dry_run_evaluation_count(&self, organization: OrganizationId, since: Timestamp) -> Result<u64> {
        let row = self.reads.row(Statement::new(DRY_RUNS).shown(organization).bind(since)).await?;
        let count = row.map(|row| Fields::new("evaluations", &row).unsigned("stored")).transpose()?;
        Ok(count.unwrap_or(0))
    }

    async fn evaluated_transactions(
        &self,
        organization: OrganizationId,
        after: TransactionId,
        limit: u32,
    ) -> Result<Vec<TransactionId>> {
        let statement = Statement::new(EVALUATED).shown(organization).shown(after).bind(limit);
        let rows = self.reads.rows(statement).await?;
        let ids: Result<_, Malformed> =
            rows.iter().map(|row| Fields::new("evaluations", row).parsed("transaction_id")).collect();
        Ok(ids?)
    }

    async fn permits(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Vec<Sealed<PermitRecord>>> {
        permits::of_transaction(&self.reads, organization, transaction).await
    }

    async fn attempts(
        &self,
        organization: OrganizationId,
        transaction: TransactionId,
    ) -> Result<Vec<Sealed<Attempt>>> {
        attempts::of_transaction(&self.reads, organization, transaction).await
    }

    async fn standing_revision(&self, organization: OrganizationId, owner: PrincipalId) -> Result<u64> {
        standings::revision(&self.reads, organization, owner).await
    }

    async fn held_nonces(&self, chain: ChainId, address: Address, from: u64) -> Result<Vec<u64>> {
        attempts::held_nonces(&self.reads, chain, address, from).await
    }
}
