//! What plugins remember.

use async_trait::async_trait;

use crate::{
    error::Result,
    ids::{BindingId, OrganizationId},
    plugin_state::PluginState,
    sealed::Sealed,
};

#[async_trait]
pub trait PluginStateReads: Send + Sync {
    /// The row of that name in the lineage.
    async fn plugin_state(
        &self,
        organization: OrganizationId,
        lineage: BindingId,
        name: &str,
    ) -> Result<Option<Sealed<PluginState>>>;
    /// How many rows the lineage has.
    async fn plugin_state_rows(&self, organization: OrganizationId, lineage: BindingId) -> Result<u64>;
}

/// Bounds of what plugins remember. Those of a single key or value are the sandbox's.
#[derive(Clone, Copy, Debug)]
pub struct StateLimits {
    /// Keys and counters of one binding. Default 1024.
    pub rows_max: u32,
    /// Unsigned transactions that hold reservations under one counter. Default 256.
    pub reservations_max: u32,
}
