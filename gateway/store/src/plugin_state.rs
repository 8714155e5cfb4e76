//! What plugins remember.

use async_trait::async_trait;
use gateway_domain::{
    Result,
    changes::{CommitError, Contested},
    ids::{BindingId, OrganizationId},
    plugin_state::{PluginState, StateChange, StateUse},
    ports::PluginStateReads,
    sealed::{Seal, Sealed},
};

use crate::{
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::Stored,
    statement::{Expect, Statement},
    store::Store,
};

const ROW: &str = "SELECT organization, lineage, name, entry, version, updated_at, seal FROM plugin_state \
     WHERE organization = $1 AND lineage = $2 AND name = $3";
const ROWS: &str = "SELECT COUNT(*) AS found FROM plugin_state WHERE organization = $1 AND lineage = $2";

/// Serializes the lineage: what the statements that follow find stays until the commit.
const LOCK: &str = "INSERT INTO plugin_state_lineages (organization, lineage, uses) VALUES ($1, $2, 1) \
     ON CONFLICT (organization, lineage) DO UPDATE SET uses = plugin_state_lineages.uses + 1";
const STILL_THERE: &str = "UPDATE plugin_state_lineages SET uses = uses WHERE organization = $1 AND lineage = $2 \
     AND EXISTS (SELECT 1 FROM plugin_state WHERE organization = $1 AND lineage = $2 AND name = $3 AND seal = $4)";
const STILL_ABSENT: &str = "UPDATE plugin_state_lineages SET uses = uses WHERE organization = $1 AND lineage = $2 \
     AND NOT EXISTS (SELECT 1 FROM plugin_state WHERE organization = $1 AND lineage = $2 AND name = $3)";
const INSERT: &str = "INSERT INTO plugin_state (organization, lineage, name, entry, version, updated_at, seal) \
     SELECT $1, $2, $3, $4, $5, $6, $7 \
     WHERE (SELECT COUNT(*) FROM plugin_state WHERE organization = $1 AND lineage = $2) < $8";
const UPDATE: &str = "UPDATE plugin_state SET entry = $4, version = $5, updated_at = $6, seal = $7 \
     WHERE organization = $1 AND lineage = $2 AND name = $3 AND seal = $8";
const DELETE: &str =
    "DELETE FROM plugin_state WHERE organization = $1 AND lineage = $2 AND name = $3 AND seal = $4";

/// Removals come first, so that they make room for insertions.
pub(crate) fn apply(state: &StateUse, out: &mut Vec<Statement>) -> Result<(), CommitError> {
    let on = |sql| Statement::new(sql).shown(state.organization).shown(state.lineage);
    let contested = |statement: Statement| statement.expecting(Expect::Change(Contested::PluginState));
    out.push(on(LOCK));
    for (name, seal) in &state.unchanged {
        out.push(contested(match seal {
            Some(seal) => on(STILL_THERE).bind(name.as_str()).shown(seal),
            None => on(STILL_ABSENT).bind(name.as_str()),
        }));
    }
    let mut changed: Vec<&StateChange> = state.changed.iter().collect();
    changed.sort_by_key(|change| change.after.is_some());
    for StateChange { name, before, after } in changed {
        let statement = match (before, after) {
            (Some(before), Some(after)) => values(on(UPDATE), after)?.shown(before.seal()),
            (None, Some(after)) => values(on(INSERT), after)?.bind(state.rows_max),
            (Some(before), None) => on(DELETE).bind(name.as_str()).shown(before.seal()),
            (None, None) => on(STILL_ABSENT).bind(name.as_str()),
        };
        out.push(contested(statement));
    }
    Ok(())
}

fn values(statement: Statement, row: &Sealed<PluginState>) -> Result<Statement, TooLarge> {
    let seal: Seal = row.seal();
    Ok(statement
        .bind(row.name.as_str())
        .json(&row.entry)
        .unsigned("version", row.version)?
        .bind(row.updated_at)
        .shown(seal))
}

impl Stored for PluginState {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            organization: row.parsed("organization")?,
            lineage: row.parsed("lineage")?,
            name: row.text("name")?,
            entry: row.json("entry")?,
            version: row.unsigned("version")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

#[async_trait]
impl PluginStateReads for Store {
    async fn plugin_state(
        &self,
        organization: OrganizationId,
        lineage: BindingId,
        name: &str,
    ) -> Result<Option<Sealed<PluginState>>> {
        self.reads.optional(Statement::new(ROW).shown(organization).shown(lineage).bind(name)).await
    }

    async fn plugin_state_rows(&self, organization: OrganizationId, lineage: BindingId) -> Result<u64> {
        let row = self.reads.row(Statement::new(ROWS).shown(organization).shown(lineage)).await?;
        Ok(row.map_or(Ok(0), |row| Fields::new("plugin_state", &row).unsigned("found"))?)
    }
}
