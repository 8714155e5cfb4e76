//! State as one evaluation reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::try_join_all;

use super::{Counter, CounterName, Entry, PluginState, StateChange, StateChanges, StateUse, counter::Fate};
use crate::{
    U256,
    clock::Timestamp,
    error::{Error, Result},
    ids::{BindingId, OrganizationId, TransactionId},
    ports::{StateLimits, Store},
    sealed::{Sealed, Sealer},
    transactions::Transaction,
};

/// A counter as one transaction finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What other transactions have reserved.
    pub others: U256,
    /// Whether the transaction is signed already: then what it reserved is final and part of the sum.
    pub is_final: bool,
}

/// An evaluation that would remember more than it may; it fails.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StateExceeded(pub String);

/// Reads the state of one lineage for one evaluation, each row once, and remembers what it read.
pub struct StateView {
    store: Arc<dyn Store>,
    limits: StateLimits,
    organization: OrganizationId,
    lineage: BindingId,
    transaction: TransactionId,
    is_final: bool,
    now: Timestamp,
    read: Mutex<BTreeMap<String, Option<Sealed<PluginState>>>>,
    failure: Mutex<Option<Error>>,
}

impl StateView {
    pub fn new(
        store: Arc<dyn Store>,
        limits: StateLimits,
        lineage: BindingId,
        transaction: &Transaction,
        now: Timestamp,
    ) -> Self {
        Self {
            store,
            limits,
            organization: transaction.organization,
            lineage,
            transaction: transaction.id,
            is_final: matches!(Fate::of(transaction), Fate::Signed(_)),
            now,
            read: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    /// For a question whose answer is not stored: what the transaction has reserved meanwhile, signed or not, is no
    /// reservation of who asks, so that a counter that is full is full. It is left out of the sum for as long as it is
    /// held by its name; what was added to the sum of signed ones since is counted, which errs towards refusing. A
    /// plain value has no such parts: it is what it was left as, by this transaction too.
    #[must_use]
    pub fn aside(self) -> Self {
        Self { is_final: false, ..self }
    }

    /// The value of a key, if it has one.
    pub async fn value(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match self.row(&value_name(key)).await?.map(|row| row.into_value().entry) {
            None => Ok(None),
            Some(Entry::Value(bytes)) => Ok(Some(bytes)),
            Some(Entry::Counter(_)) => Err(Error::inconsistency("a counter lies under the name of a value")),
        }
    }

    /// What is reserved under a counter.
    pub async fn counted(&self, name: &CounterName) -> Result<Counted> {
        let (_, counter) = self.counter(name).await?;
        Ok(Counted { others: counter.others(self.transaction), is_final: self.is_final })
    }

    /// Keeps the error that ended an evaluation, which the plugin's answer cannot carry.
    pub fn fail(&self, error: Error) {
        held(&self.failure).get_or_insert(error);
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        held(&self.failure).take()
    }

    /// What is to be stored with the evaluation, if it used state at all.
    pub async fn used(
        &self,
        sealer: &Sealer,
        changes: &StateChanges,
    ) -> Result<Result<Option<StateUse>, StateExceeded>> {
        let mut rows = Vec::new();
        for (key, value) in &changes.values {
            let name = value_name(key);
            let before = self.row(&name).await?;
            let entry = value.clone().map(Entry::Value);
            rows.extend(self.change(sealer, name, before, entry));
        }
        for (counter, amount) in changes.reservations.iter().filter(|_| !self.is_final) {
            let (before, mut entry) = self.counter(counter).await?;
            entry.held.insert(self.transaction, *amount);
            if entry.held.len() > self.limits.reservations_max as usize {
                let most = self.limits.reservations_max;
                let detail =
                    format!("more than {most} unsigned transactions hold reservations under a counter");
                return Ok(Err(StateExceeded(detail)));
            }
            rows.extend(self.change(sealer, counter.row_name(), before, Some(Entry::Counter(entry))));
        }
        if let Err(exceeded) = self.require_room(&rows).await? {
            return Ok(Err(exceeded));
        }
        let names: BTreeSet<&String> = rows.iter().map(|row| &row.name).collect();
        let unchanged: Vec<_> = held(&self.read)
            .iter()
            .filter(|(name, _)| !names.contains(name))
            .map(|(name, row)| (name.clone(), row.as_ref().map(Sealed::seal)))
            .collect();
        let is_used = !(unchanged.is_empty() && rows.is_empty());
        Ok(Ok(is_used.then_some(StateUse {
            organization: self.organization,
            lineage: self.lineage,
            unchanged,
            changed: rows,
            rows_max: self.limits.rows_max,
        })))
    }

    /// The change from `before` to `entry`, if it is one.
    fn change(
        &self,
        sealer: &Sealer,
        name: String,
        before: Option<Sealed<PluginState>>,
        entry: Option<Entry>,
    ) -> Option<StateChange> {
        let version = before.as_ref().map_or(0, |row| row.version) + 1;
        let after = entry.map(|entry| {
            sealer.seal(PluginState {
                organization: self.organization,
                lineage: self.lineage,
                name: name.clone(),
                entry,
                version,
                updated_at: self.now,
            })
        });
        (before.is_some() || after.is_some()).then_some(StateChange { name, before, after })
    }

    /// Refuses new rows beyond the lineage's quota. The store counts again when it inserts them.
    async fn require_room(&self, changed: &[StateChange]) -> Result<Result<(), StateExceeded>> {
        let added = changed.iter().filter(|change| change.before.is_none()).count();
        let removed = changed.iter().filter(|change| change.after.is_none()).count();
        if added <= removed {
            return Ok(Ok(()));
        }
        let present = self.store.plugin_state_rows(self.organization, self.lineage).await?;
        let after = usize::try_from(present).unwrap_or(usize::MAX).saturating_add(added - removed);
        let most = self.limits.rows_max;
        if after <= most as usize {
            return Ok(Ok(()));
        }
        Ok(Err(StateExceeded(format!("more than {most} keys and counters in the state of one binding"))))
    }

    /// A counter's row, and its content with every reservation settled that has met its fate.
    async fn counter(&self, name: &CounterName) -> Result<(Option<Sealed<PluginState>>, Counter)> {
        let row = self.row(&name.row_name()).await?;
        let counter = match row.as_ref().map(|row| &row.entry) {
            None => Counter::default(),
            Some(Entry::Counter(counter)) => counter.clone(),
            Some(Entry::Value(_)) => {
                return Err(Error::inconsistency("a value lies under the name of a counter"));
            }
        };
        let others = counter.held.keys().copied().filter(|transaction| *transaction != self.transaction);
        let fates = try_join_all(others.map(|transaction| self.fate(transaction))).await?;
        Ok((row, counter.settled(name, &fates.into_iter().collect(), self.now)))
    }

    async fn fate(&self, id: TransactionId) -> Result<(TransactionId, Fate)> {
        let transaction = self.store.transaction(self.organization, id).await?;
        // Reservations are stored with their transaction: without it, nobody may say that it was never signed.
        Ok((id, transaction.map_or(Fate::Open, |transaction| Fate::of(&transaction))))
    }

    async fn row(&self, name: &str) -> Result<Option<Sealed<PluginState>>> {
        if let Some(row) = held(&self.read).get(name) {
            return Ok(row.clone());
        }
        let row = self.store.plugin_state(self.organization, self.lineage, name).await?;
        held(&self.read).insert(name.to_owned(), row.clone());
        Ok(row)
    }
}

fn value_name(key: &str) -> String {
    format!("value/{key}")
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
