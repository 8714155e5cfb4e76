//! Comparing every sealed row with the tallies of the audit log: no row may be missing, older than the newest that was
//! written, or foreign.

use std::{collections::BTreeMap, time::Duration};

use futures::TryStreamExt;
use gateway_domain::{
    Error, U256,
    approvals::Vote,
    audit::{LaneHead, Tallies, explains},
    credentials::ApiKey,
    evaluations::Evaluation,
    fireblocks::Integration,
    identity::{Organization, Principal, User},
    ids::InstanceId,
    keys::KeyRecord,
    operators::{Charter, Proposal},
    payloads::EncryptedPayload,
    plugin_state::PluginState,
    policy::{PermitRecord, PluginRevision, PluginRevocation, Policy, PolicyHead},
    quorums::PrivyQuorum,
    registrations::Registration,
    registry::Relay,
    sealed::{RowVersion, Sealable, Sealer},
    sessions::Session,
    settings::Settings,
    transactions::{Attempt, Transaction},
    vaults::Vault,
    vendors::VendorCall,
    verification::{OrionMetadata, VerificationService},
};
use sqlx::{AnyConnection, Connection, Executor};

use crate::{
    audit::{PLACES, Place, lanes_with_entries},
    connections::Opening,
    error::StoreError,
    fields::Fields,
    reader::{Stored, open},
    statement::{Statement, query, shared_text},
};

/// Findings told at most; one is enough to stop.
const FINDINGS_MAX: usize = 20;
/// How far back a single row is looked for when a sum differs.
const VERSIONS_BACK: u64 = 64;
const BEYOND_HEAD: &str = "SELECT l.lane FROM audit_lanes l WHERE EXISTS \
     (SELECT 1 FROM audit_entries e WHERE e.lane = l.lane AND e.sequence > l.sequence)";
const WITHOUT_HEAD: &str = concat!(lanes_with_entries!(), " AND lane NOT IN (SELECT lane FROM audit_lanes)");

/// What a look at every sealed row found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    pub rows: u64,
    /// Each names a table, and the row where it can be told; empty if all is as it was written.
    pub findings: Vec<String>,
    /// Where each audit lane ended.
    pub heads: BTreeMap<InstanceId, LaneHead>,
}

/// Reads everything in one snapshot, within `deadline`.
pub(crate) async fn sweep(
    opening: &Opening,
    begin: &'static [&'static str],
    sealer: &Sealer,
    deadline: Duration,
    broken: &(dyn Fn(&[String]) + Sync),
) -> Result<Sweep, StoreError> {
    let swept = tokio::time::timeout(deadline, async {
        let mut connection = opening.open().await.map_err(StoreError::Connect)?;
        for statement in begin {
            connection.execute(*statement).await.map_err(StoreError::Query)?;
        }
        let mut sweeping =
            Sweeping { connection, sealer, look: Look::Count(Tallies::default()), sweep: Sweep::default() };
        sweeping.whole(broken).await?;
        let Sweeping { connection, sweep, .. } = sweeping;
        connection.close().await.map_err(StoreError::Query)?;
        Ok(sweep)
    });
    swept.await.unwrap_or(Err(StoreError::TimedOut))
}

macro_rules! every_table {
    ($($sealed:ty),+ $(,)?) => {
        /// Tables of sealed rows.
        const TABLES: &[&str] = &[$(<$sealed as Sealable>::TABLE),+];

        impl Sweeping<'_> {
            async fn every_table(&mut self) -> Result<(), StoreError> {
                $(self.table::<$sealed>().await?;)+
                Ok(())
            }
        }
    };
}

every_table![
    Charter,
    Proposal,
    Organization,
    Principal,
    User,
    Settings,
    ApiKey,
    Vault,
    KeyRecord,
    PluginRevision,
    PluginRevocation,
    PluginState,
    Policy,
    PolicyHead,
    Transaction,
    Evaluation,
    Vote,
    Attempt,
    PermitRecord,
    Session,
    Integration,
    VendorCall,
    PrivyQuorum,
    Registration,
    Relay,
    VerificationService,
    EncryptedPayload,
    OrionMetadata,
];

struct Sweeping<'s> {
    connection: AnyConnection,
    sealer: &'s Sealer,
    look: Look,
    sweep: Sweep,
}

/// What is done with each row.
enum Look {
    /// Adds it up.
    Count(Tallies),
    /// Finds those rows that explain, each alone, by how much their table's sum differs.
    Explain(BTreeMap<String, U256>),
}

impl Sweeping<'_> {
    /// Compares, and tells `broken` at once what differs; which row it is, is looked for afterwards.
    async fn whole(&mut self, broken: &(dyn Fn(&[String]) + Sync)) -> Result<(), StoreError> {
        let written = self.written().await?;
        self.heads().await?;
        self.every_table().await?;
        let Look::Count(found) = &self.look else { return Ok(()) };
        let mut differences = found.missing_from(&written);
        // A newer version of the gateway may write tables that this one does not know.
        differences.retain(|table, _| TABLES.contains(&table.as_str()));
        if differences.is_empty() || !self.sweep.findings.is_empty() {
            return Ok(());
        }
        let rows = self.sweep.rows;
        let unexplained = |differences: &BTreeMap<String, U256>| -> Vec<String> {
            let told = |table: &String| {
                format!("`{table}`: rows are missing, are older than the newest written, or are foreign")
            };
            differences.keys().map(told).collect()
        };
        broken(&unexplained(&differences));
        self.look = Look::Explain(differences);
        self.every_table().await?;
        self.removed_rows().await?;
        self.sweep.rows = rows;
        if let Look::Explain(differences) = &self.look {
            self.sweep.findings.extend(unexplained(differences));
        }
        Ok(())
    }

    /// A lane ends where its head says, and has a head.
    async fn heads(&mut self) -> Result<(), StoreError> {
        for (sql, fault) in [(BEYOND_HEAD, "has entries beyond its head"), (WITHOUT_HEAD, "has no head")] {
            let statement = Statement::new(sql);
            let mut rows = self.connection.fetch(statement.query());
            while let Some(row) = rows.try_next().await.map_err(StoreError::Query)? {
                let lane = Fields::new("audit_lanes", &row).text("lane")?;
                note(&mut self.sweep, format!("audit lane {lane} {fault}"));
            }
        }
        Ok(())
    }

    /// What all lanes say was written.
    async fn written(&mut self) -> Result<Tallies, StoreError> {
        let mut written = Tallies::default();
        let statement = Statement::new(PLACES);
        let mut rows = self.connection.fetch(statement.query());
        while let Some(row) = rows.try_next().await.map_err(StoreError::Query)? {
            match Place::read(&row, self.sealer) {
                Ok(place) => {
                    written = written.plus(&place.tallies);
                    self.sweep.heads.insert(place.lane, place.head);
                }
                Err(error) => note(&mut self.sweep, told(&error)),
            }
        }
        Ok(written)
    }

    async fn table<T: Stored>(&mut self) -> Result<(), StoreError> {
        if matches!(&self.look, Look::Explain(differences) if !differences.contains_key(T::TABLE)) {
            return Ok(());
        }
        let sql = shared_text(format!("SELECT * FROM {}", T::TABLE));
        let mut rows = self.connection.fetch(query(sql, []));
        loop {
            let row = match rows.try_next().await {
                Ok(Some(row)) => row,
                Ok(None) => break,
                // A column of a type that none of ours has: somebody changed the table.
                Err(
                    error @ (sqlx::Error::ColumnDecode { .. }
                    | sqlx::Error::Decode(_)
                    | sqlx::Error::AnyDriverError(_)),
                ) => {
                    note(&mut self.sweep, format!("`{}`: {error}", T::TABLE));
                    break;
                }
                Err(error) => return Err(StoreError::Query(error)),
            };
            self.sweep.rows += 1;
            match open::<T>(&row, self.sealer) {
                Ok(value) => {
                    if let Some(row) = value.row_version() {
                        look(&mut self.look, &mut self.sweep, self.sealer, &row);
                    }
                }
                Err(error) => note(&mut self.sweep, format!("`{}`: {}", T::TABLE, told(&error))),
            }
        }
        Ok(())
    }

    /// The log's subjects name most rows by their keys; one that is gone explains its table's difference.
    async fn removed_rows(&mut self) -> Result<(), StoreError> {
        let Look::Explain(differences) = &mut self.look else { return Ok(()) };
        let subjects = Statement::new("SELECT DISTINCT subject FROM audit_entries");
        let mut rows = self.connection.fetch(subjects.query());
        while let Some(row) = rows.try_next().await.map_err(StoreError::Query)? {
            let subject = Fields::new("audit_entries", &row).text("subject")?;
            let Some((_, key)) = subject.rsplit_once(' ') else { continue };
            let explained = differences.iter().find_map(|(table, difference)| {
                let name = TABLES.iter().find(|name| *name == table)?;
                let gone = RowVersion { table: name, key: key.to_owned(), version: 0 };
                explains(self.sealer, &gone, VERSIONS_BACK, *difference).map(|_| table.clone())
            });
            if let Some(table) = explained {
                note(&mut self.sweep, format!("`{table}`: row {key} was removed"));
                differences.remove(&table);
            }
        }
        Ok(())
    }
}

fn look(look: &mut Look, sweep: &mut Sweep, sealer: &Sealer, row: &RowVersion) {
    match look {
        Look::Count(found) => found.find(sealer, row),
        Look::Explain(differences) => {
            let Some(difference) = differences.get(row.table) else { return };
            if let Some(behind) = explains(sealer, row, VERSIONS_BACK, *difference) {
                let (version, newest) = (row.version, row.version + behind);
                let key = &row.key;
                let table = row.table;
                note(sweep, format!("`{table}`: row {key} is version {version}, but {newest} was written"));
                differences.remove(table);
            }
        }
    }
}

/// What went wrong inside, for the operator.
fn told(error: &Error) -> String {
    error.internal_cause().map_or_else(|| error.to_string(), ToString::to_string)
}

fn note(sweep: &mut Sweep, finding: String) {
    if sweep.findings.len() < FINDINGS_MAX {
        sweep.findings.push(finding);
    }
}
