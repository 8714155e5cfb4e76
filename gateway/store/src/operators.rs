//! The charter of operators, and what they propose.

use async_trait::async_trait;
use gateway_domain::{
    Error, Result, Timestamp,
    changes::{Contested, OperatorWrite},
    ids::ProposalId,
    operators::{Charter, DEPLOYMENT, Proposal},
    ports::OperatorReads,
    sealed::Sealed,
};

use crate::{
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::Stored,
    statement::{Expect, Statement},
    store::Store,
};

/// Why a database without a charter is not that of this installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CharterExpected {
    /// Somebody took the row away, or this is another deployment's database.
    #[error("a charter was founded, as the token says, and the database holds none")]
    Founded,
    /// Nobody could sign for a plugin, nor decide what it may judge.
    #[error(
        "this installation has no operators, and the token does not say that it was made for development: found it \
         with operators (`countersign init --charter`)"
    )]
    NotDevelopment,
}

macro_rules! charter_columns {
    () => {
        "id, revision, operators, approvals_required, updated_at, seal"
    };
}

macro_rules! columns {
    () => {
        "id, organization, proposer, change, reason, approvals, state, state_facts, version, created_at, expires_at, seal"
    };
}

const CHARTER: &str = concat!("SELECT ", charter_columns!(), " FROM charters WHERE id = $1");
const PROPOSAL: &str = concat!("SELECT ", columns!(), " FROM proposals WHERE id = $1");
const NEWEST: &str = concat!("SELECT ", columns!(), " FROM proposals ORDER BY id DESC LIMIT $1");
const BEFORE: &str =
    concat!("SELECT ", columns!(), " FROM proposals WHERE id < $2 ORDER BY id DESC LIMIT $1");
const OPEN: &str = "SELECT COUNT(*) AS open FROM proposals WHERE state = 'open' AND expires_at > $1";

pub(crate) fn compile(write: &OperatorWrite) -> Result<Statement, TooLarge> {
    match write {
        OperatorWrite::InsertCharter(charter) => insert_charter(charter),
        OperatorWrite::UpdateCharter(charter) => update_charter(charter),
        OperatorWrite::RequireCharter(revision) => require_charter(*revision),
        OperatorWrite::InsertProposal(proposal) => insert(proposal),
        OperatorWrite::UpdateProposal(proposal) => update(proposal),
    }
}

/// Whether it changes something that [`crate::known`] keeps.
pub(crate) fn changes_known(write: &OperatorWrite) -> bool {
    match write {
        OperatorWrite::InsertCharter(_) | OperatorWrite::UpdateCharter(_) => true,
        OperatorWrite::RequireCharter(_)
        | OperatorWrite::InsertProposal(_)
        | OperatorWrite::UpdateProposal(_) => false,
    }
}

fn insert_charter(charter: &Sealed<Charter>) -> Result<Statement, TooLarge> {
    let sql = concat!("INSERT INTO charters (", charter_columns!(), ") VALUES ($1, $2, $3, $4, $5, $6)");
    charter_values(Statement::new(sql), charter)
}

fn update_charter(charter: &Sealed<Charter>) -> Result<Statement, TooLarge> {
    let statement = Statement::new(
        "UPDATE charters SET revision = $2, operators = $3, approvals_required = $4, \
         updated_at = $5, seal = $6 WHERE id = $1 AND revision = $2 - 1",
    );
    Ok(charter_values(statement, charter)?.expecting(Expect::Change(Contested::Version)))
}

fn charter_values(statement: Statement, charter: &Sealed<Charter>) -> Result<Statement, TooLarge> {
    Ok(statement
        .shown(DEPLOYMENT)
        .unsigned("revision", charter.revision)?
        .json(&charter.operators)
        .bind(charter.approvals_required)
        .bind(charter.updated_at)
        .shown(charter.seal()))
}

fn require_charter(revision: u64) -> Result<Statement, TooLarge> {
    let statement = Statement::new("UPDATE charters SET revision = revision WHERE id = $1 AND revision = $2");
    let statement = statement.shown(DEPLOYMENT).unsigned("revision", revision)?;
    Ok(statement.expecting(Expect::Change(Contested::Version)))
}

fn insert(proposal: &Sealed<Proposal>) -> Result<Statement, TooLarge> {
    let sql = concat!(
        "INSERT INTO proposals (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    );
    Ok(Statement::new(sql)
        .shown(proposal.id)
        .shown(proposal.organization)
        .shown(proposal.proposer)
        .json(&proposal.change)
        .bind(proposal.reason.as_str())
        .json(&proposal.approvals)
        .bind(proposal.state.name())
        .json(&proposal.state)
        .unsigned("version", proposal.version)?
        .bind(proposal.created_at)
        .bind(proposal.expires_at)
        .shown(proposal.seal()))
}

fn update(proposal: &Sealed<Proposal>) -> Result<Statement, TooLarge> {
    Ok(Statement::new(
        "UPDATE proposals SET approvals = $2, state = $3, state_facts = $4, version = $5, seal = $6 \
         WHERE id = $1 AND version = $5 - 1",
    )
    .shown(proposal.id)
    .json(&proposal.approvals)
    .bind(proposal.state.name())
    .json(&proposal.state)
    .unsigned("version", proposal.version)?
    .shown(proposal.seal())
    .expecting(Expect::Change(Contested::Version)))
}

impl Stored for Charter {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        row.agree("id", row.text("id")? == DEPLOYMENT.to_string())?;
        Ok(Self {
            revision: row.unsigned("revision")?,
            operators: row.json("operators")?,
            approvals_required: row.unsigned("approvals_required")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

impl Stored for Proposal {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        let proposal = Self {
            id: row.parsed("id")?,
            organization: row.parsed("organization")?,
            proposer: row.parsed("proposer")?,
            change: row.json("change")?,
            reason: row.text("reason")?,
            approvals: row.json("approvals")?,
            state: row.json("state_facts")?,
            version: row.unsigned("version")?,
            created_at: row.time("created_at")?,
            expires_at: row.time("expires_at")?,
        };
        row.agree("state", row.text("state")? == proposal.state.name())?;
        Ok(proposal)
    }
}

#[async_trait]
impl OperatorReads for Store {
    async fn charter(&self) -> Result<Option<Sealed<Charter>>> {
        let found = self.reads.known_optional(Statement::new(CHARTER).shown(DEPLOYMENT)).await?;
        match self.charter_expected.get() {
            Some(expected) if found.is_none() => Err(Error::inconsistency(*expected)),
            _ => Ok(found),
        }
    }

    async fn proposal(&self, id: ProposalId) -> Result<Option<Sealed<Proposal>>> {
        self.reads.optional(Statement::new(PROPOSAL).shown(id)).await
    }

    async fn proposals(&self, before: Option<ProposalId>, limit: u32) -> Result<Vec<Sealed<Proposal>>> {
        let statement = match before {
            None => Statement::new(NEWEST).bind(limit),
            Some(before) => Statement::new(BEFORE).bind(limit).shown(before),
        };
        self.reads.list(statement).await
    }

    async fn open_proposals(&self, now: Timestamp) -> Result<u64> {
        let row = self.reads.row(Statement::new(OPEN).bind(now)).await?;
        let count = row.map(|row| Fields::new("proposals", &row).unsigned("open")).transpose()?;
        Ok(count.unwrap_or(0))
    }
}
