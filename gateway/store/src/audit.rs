//! The audit log: what the writer appends and what is read back.

use std::collections::BTreeMap;

use async_trait::async_trait;
use gateway_domain::{
    B256, Error, Result,
    audit::{AuditEntry, Checkpoint, LaneHead, MaskedTallies, SignedCheckpoint, Tallies},
    changes::{CommitError, Contested},
    ids::InstanceId,
    keys::PublicKey,
    ports::AuditReads,
    sealed::{Sealed, Sealer},
};
use sqlx::{SqlStr, any::AnyRow};

use crate::{
    error::{Malformed, TooLarge},
    fields::Fields,
    reader::{Stored, open},
    statement::{Expect, Statement, hex_text, shared_text},
    store::Store,
    unit::Unit,
};

macro_rules! columns {
    () => {
        "lane, sequence, previous, organization, at, actor, request_id, action, subject, detail, tallies, seal"
    };
}
const COLUMNS: usize = 12;

pub(crate) const LANES: &str = "SELECT lane, sequence, hash FROM audit_lanes ORDER BY lane";
pub(crate) const ENTRIES: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM audit_entries WHERE lane = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"
);
/// Every lane that has an entry, whatever the head rows say, by one look-up a lane.
macro_rules! lanes_with_entries {
    () => {
        "WITH RECURSIVE found (lane) AS (SELECT MIN(lane) FROM audit_entries \
     UNION ALL SELECT (SELECT MIN(e.lane) FROM audit_entries e WHERE e.lane > found.lane) FROM found \
     WHERE found.lane IS NOT NULL) SELECT lane FROM found WHERE lane IS NOT NULL"
    };
}
pub(crate) use lanes_with_entries;
pub(crate) const LANES_WITH_ENTRIES: &str = lanes_with_entries!();
pub(crate) const ENTRY_COUNT: &str = "SELECT COUNT(*) AS entries FROM audit_entries WHERE lane = $1";
pub(crate) const CHECKPOINTS: &str = "SELECT number, previous, at, heads, public_key, signature \
     FROM audit_checkpoints WHERE number > $1 ORDER BY number LIMIT $2";

/// Every head with the entry it names, so that an edited head is noticed.
macro_rules! places {
    () => {
        "SELECT l.lane AS head_lane, l.sequence AS head_sequence, l.hash AS head_hash, l.tallies AS head_tallies, \
         e.lane, e.sequence, e.previous, e.organization, e.at, e.actor, e.request_id, e.action, e.subject, e.detail, \
         e.tallies, e.seal FROM audit_lanes l LEFT JOIN audit_entries e ON e.lane = l.lane AND e.sequence = l.sequence"
    };
}
pub(crate) const PLACES: &str = places!();
const PLACE: &str = concat!(places!(), " WHERE l.lane = $1");
const LAST_CHECKPOINT: &str = "SELECT number, previous, at, heads, public_key, signature FROM audit_checkpoints \
     ORDER BY number DESC LIMIT 1";
const INSERT_CHECKPOINT: &str = "INSERT INTO audit_checkpoints (number, previous, at, heads, public_key, signature) \
     VALUES ($1, $2, $3, $4, $5, $6)";

/// Moves the head only from where this writer saw it: no two processes can write one lane.
const MOVE_LANE: &str = "INSERT INTO audit_lanes (lane, sequence, hash, tallies) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (lane) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash, tallies = excluded.tallies \
     WHERE audit_lanes.sequence = $5";

/// Where a lane ends, and what its gateway has written by then.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) lane: InstanceId,
    pub(crate) head: LaneHead,
    pub(crate) tallies: Tallies,
}

impl Place {
    pub(crate) fn statement(lane: InstanceId) -> Statement {
        Statement::new(PLACE).shown(lane)
    }

    /// Follows the head to its entry, opens the seal, and compares both hashes.
    pub(crate) fn read(row: &AnyRow, sealer: &Sealer) -> Result<Self> {
        let fields = Fields::new("audit_lanes", row);
        let lane: InstanceId = fields.parsed("head_lane")?;
        let head =
            LaneHead { sequence: fields.unsigned("head_sequence")?, hash: fields.parsed("head_hash")? };
        let tallies: MaskedTallies = fields.json("head_tallies")?;
        let entry: Sealed<AuditEntry> = open(row, sealer)?;
        if entry.lane != lane || entry.head() != head || entry.tallies != Some(tallies.hash()) {
            return Err(Error::inconsistency(format!("the head of audit lane {lane} is not its last entry")));
        }
        Ok(Self { lane, head, tallies: tallies.unmasked(sealer, lane, head) })
    }
}

/// Insert texts for one to eight, 16 and 32 entries, so that few statements need to be prepared.
#[derive(Debug)]
pub(crate) struct EntryInserts(Vec<(usize, SqlStr)>);

impl EntryInserts {
    pub(crate) fn new() -> Self {
        Self([32, 16, 8, 7, 6, 5, 4, 3, 2, 1].map(|rows| (rows, insert_text(rows))).into())
    }

    /// Statements that append the entries, in order, and then move the lane from `before` to the last of them.
    pub(crate) fn statements(
        &self,
        entries: &[Sealed<AuditEntry>],
        tallies: &MaskedTallies,
        before: Option<LaneHead>,
    ) -> Result<Vec<Statement>, TooLarge> {
        let mut statements = Vec::with_capacity(2);
        let mut left = entries;
        while let Some((rows, sql)) = self.0.iter().find(|(rows, _)| *rows <= left.len()) {
            let (now, later) = left.split_at(*rows);
            statements.push(now.iter().try_fold(Statement::prepared(sql.clone()), entry_values)?);
            left = later;
        }
        if let Some(last) = entries.last() {
            let head = last.head();
            statements.push(
                Statement::new(MOVE_LANE)
                    .shown(last.lane)
                    .unsigned("sequence", head.sequence)?
                    .bind(head.hash)
                    .json(tallies)
                    .unsigned("sequence", before.map_or(0, |before| before.sequence))?
                    .expecting(Expect::Change(Contested::Duplicate)),
            );
        }
        Ok(statements)
    }
}

fn insert_text(rows: usize) -> SqlStr {
    let row = |row: usize| {
        let places: Vec<String> =
            (1..=COLUMNS).map(|column| format!("${}", row * COLUMNS + column)).collect();
        format!("({})", places.join(", "))
    };
    let values: Vec<String> = (0..rows).map(row).collect();
    let text = format!(concat!("INSERT INTO audit_entries (", columns!(), ") VALUES {}"), values.join(", "));
    shared_text(text)
}

fn entry_values(statement: Statement, entry: &Sealed<AuditEntry>) -> Result<Statement, TooLarge> {
    Ok(statement
        .shown(entry.lane)
        .unsigned("sequence", entry.sequence)?
        .bind(entry.previous)
        .shown(entry.organization)
        .bind(entry.at)
        .bind(entry.actor.as_str())
        .bind(entry.request_id.as_str())
        .bind(entry.action.as_str())
        .bind(entry.subject.as_str())
        .bind(entry.detail.as_str())
        .bind(entry.tallies.map(hex_text))
        .shown(entry.seal()))
}

impl Stored for AuditEntry {
    fn read(row: &Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            lane: row.parsed("lane")?,
            sequence: row.unsigned("sequence")?,
            previous: row.parsed("previous")?,
            organization: row.parsed("organization")?,
            at: row.time("at")?,
            actor: row.text("actor")?,
            request_id: row.text("request_id")?,
            action: row.text("action")?,
            subject: row.text("subject")?,
            detail: row.text("detail")?,
            tallies: row.optional_parsed("tallies")?,
        })
    }
}

pub(crate) fn read_lane(row: &AnyRow) -> Result<(InstanceId, LaneHead), Malformed> {
    let row = Fields::new("audit_lanes", row);
    let hash: B256 = row.parsed("hash")?;
    Ok((row.parsed("lane")?, LaneHead { sequence: row.unsigned("sequence")?, hash }))
}

pub(crate) fn read_checkpoint(row: &AnyRow) -> Result<SignedCheckpoint, Malformed> {
    let row = Fields::new("audit_checkpoints", row);
    let bytes = |column| {
        hex::decode(row.text(column)?).map_err(|cause: hex::FromHexError| row.malformed(column, cause))
    };
    Ok(SignedCheckpoint {
        checkpoint: Checkpoint {
            number: row.unsigned("number")?,
            previous: row.parsed("previous")?,
            at: row.time("at")?,
            heads: row.json("heads")?,
        },
        public_key: PublicKey(bytes("public_key")?),
        signature: bytes("signature")?,
    })
}

#[async_trait]
impl AuditReads for Store {
    /// The cost is one look-up a lane.
    async fn lane_heads(&self) -> Result<BTreeMap<InstanceId, LaneHead>> {
        let rows = self.reads.rows(Statement::new(PLACES)).await?;
        let places = rows.iter().map(|row| Place::read(row, &self.reads.sealer));
        places.map(|place| place.map(|place| (place.lane, place.head))).collect()
    }

    async fn lane_entries(
        &self,
        lane: InstanceId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Sealed<AuditEntry>>> {
        let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
        self.reads.list(Statement::new(ENTRIES).shown(lane).bind(after).bind(limit)).await
    }

    async fn last_checkpoint(&self) -> Result<Option<SignedCheckpoint>> {
        let row = self.reads.row(Statement::new(LAST_CHECKPOINT)).await?;
        Ok(row.map(|row| read_checkpoint(&row)).transpose()?)
    }

    async fn checkpoints(&self, after: u64, limit: u32) -> Result<Vec<SignedCheckpoint>> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows = self.reads.rows(Statement::new(CHECKPOINTS).bind(after).bind(limit)).await?;
        Ok(rows.iter().map(read_checkpoint).collect::<Result<_, _>>()?)
    }

    async fn insert_checkpoint(&self, signed: &SignedCheckpoint) -> Result<(), CommitError> {
        let checkpoint = &signed.checkpoint;
        let statement = Statement::new(INSERT_CHECKPOINT)
            .unsigned("number", checkpoint.number)?
            .bind(checkpoint.previous)
            .bind(checkpoint.at)
            .json(&checkpoint.heads)
            .bind(hex::encode(&signed.public_key.0))
            .bind(hex::encode(&signed.signature));
        self.writer.submit(Unit::housekeeping(vec![statement])).await.map(|_| ())
    }
}
