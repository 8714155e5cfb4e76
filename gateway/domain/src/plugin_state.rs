//! What plugins remember between evaluations: values and counters, one space per organization and lineage.
//!
//! The lineage is the binding: its successive revisions share a space, which the shadow of its plugin reads and no
//! other binding sees. An evaluation reads rows and says what it would change; the change is stored with the evaluation,
//! provided that every row is still the one that was read. A reservation under a counter names its transaction and
//! needs no release of its own: whether it counts follows from what became of that transaction, whose row is sealed.

use serde::{Deserialize, Serialize};

use crate::{
    U256,
    clock::Timestamp,
    ids::{BindingId, OrganizationId},
    sealed::{RowVersion, Seal, Sealable, Sealed},
};

mod counter;
mod turns;
mod view;

pub(crate) use counter::Fate;
pub use counter::{Counter, CounterName};
pub use turns::StateTurns;
pub use view::{Counted, StateExceeded, StateView};

/// One value or counter of a lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginState {
    pub organization: OrganizationId,
    pub lineage: BindingId,
    /// `value/KEY` or `counter/SECONDS/NAME`; unique in the lineage.
    pub name: String,
    pub entry: Entry,
    pub version: u64,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    Value(#[serde(with = "hex::serde")] Vec<u8>),
    Counter(Counter),
}

/// What an evaluation would have remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChanges {
    /// Keys and their new values; none removes the key.
    pub values: Vec<(String, Option<Vec<u8>>)>,
    /// What the transaction is to hold under each counter, in place of what it held.
    pub reservations: Vec<(CounterName, U256)>,
}

/// What one evaluation read of a lineage and changes in it. Applied whole, and only if every row that was read is
/// still the same.
#[derive(Clone, Debug)]
pub struct StateUse {
    pub organization: OrganizationId,
    pub lineage: BindingId,
    /// Names that were read and stay, with the seals of the rows found; no seal where there was none.
    pub unchanged: Vec<(String, Option<Seal>)>,
    pub changed: Vec<StateChange>,
    /// Rows that the lineage may have.
    pub rows_max: u32,
}

/// One row's change; its absence before or after is an insertion or a removal.
#[derive(Clone, Debug)]
pub struct StateChange {
    pub name: String,
    /// The row that was read.
    pub before: Option<Sealed<PluginState>>,
    pub after: Option<Sealed<PluginState>>,
}

impl Sealable for PluginState {
    const TABLE: &'static str = "plugin_state";

    fn row_version(&self) -> Option<RowVersion> {
        let key = format_args!("{}/{}/{}", self.organization, self.lineage, self.name);
        Some(RowVersion::new::<Self>(key, self.version))
    }
}
