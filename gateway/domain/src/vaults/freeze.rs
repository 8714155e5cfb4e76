//! Stopping the keys of one vault, and letting them go on.

use crate::{
    actor::OpCtx,
    changes::{VaultWrite, Write},
    error::Result,
    freezing::{Freeze, set_frozen},
    ids::VaultId,
    ports::Services,
    sealed::Sealed,
    vaults::Vault,
};

/// Sets whether a vault of the caller's organization is frozen: from the commit on, nothing gets a permit to be signed
/// with one of its keys. A freeze of what is frozen is a new one: a thaw that was proposed before is not for it. A lift
/// that loses against another write is not tried again.
pub async fn set_vault_frozen(ctx: &OpCtx, services: &Services, id: VaultId, frozen: bool) -> Result<Vault> {
    set_frozen(ctx, services, frozen, || services.store.vault(ctx.organization, id)).await
}

impl Freeze for Vault {
    const NOUN: &'static str = "vault";
    const ACTIONS: [&'static str; 2] = ["vault.frozen", "vault.thawed"];

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn is_frozen(&self) -> bool {
        self.frozen
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn with_frozen(self, frozen: bool) -> Self {
        Self { frozen, version: self.version + 1, ..self }
    }

    fn update(next: Sealed<Self>) -> Write {
        Write::Vaults(VaultWrite::Update(next))
    }
}
