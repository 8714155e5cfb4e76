//! Stopping one key, and letting it go on.

use crate::{
    actor::OpCtx,
    changes::Write,
    error::Result,
    freezing::{Freeze, set_frozen},
    ids::KeyId,
    keys::KeyRecord,
    ports::Services,
    sealed::Sealed,
};

/// Sets whether a key of the caller's organization is frozen: from the commit on, nothing gets a permit to be signed
/// with a frozen one, and no message is opened with it. A freeze of what is frozen is a new one: a thaw that was proposed before is not for it. A lift that
/// loses against another write is not tried again.
pub async fn set_key_frozen(ctx: &OpCtx, services: &Services, id: KeyId, frozen: bool) -> Result<KeyRecord> {
    set_frozen(ctx, services, frozen, || services.store.key(ctx.organization, id)).await
}

impl Freeze for KeyRecord {
    const NOUN: &'static str = "key";
    const ACTIONS: [&'static str; 2] = ["key.frozen", "key.thawed"];

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
        Write::UpdateKey(next)
    }
}
