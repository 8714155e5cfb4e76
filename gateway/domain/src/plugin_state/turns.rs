//! Turns for those that lost a race for state.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::sync::OwnedMutexGuard;

use crate::ids::OrganizationId;

/// Lets one evaluation of an organization at a time go on after its state was changed under it, so that many that
/// want the same counter do not evaluate for nothing again and again. Holders are bounded in time by the deadlines
/// of the evaluation and of the commit.
#[derive(Debug, Default)]
pub struct StateTurns(Mutex<BTreeMap<OrganizationId, Arc<tokio::sync::Mutex<()>>>>);

impl StateTurns {
    /// Waits for the turn; it ends when what is returned is dropped.
    pub(crate) async fn take(&self, organization: OrganizationId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().expect("nobody panics while holding the map");
            Arc::clone(turns.entry(organization).or_default())
        };
        turn.lock_owned().await
    }
}
