//! Stopping a whole organization, and letting it go on.

use crate::{
    actor::OpCtx,
    changes::Write,
    error::Result,
    freezing::{Freeze, set_frozen},
    identity::Organization,
    ports::Services,
    sealed::Sealed,
};

/// Sets whether the caller's organization is frozen: from the commit on, nothing of a frozen one gets a permit to be
/// signed, and no message to its verification service is opened. Approved transactions wait and go on once it is lifted. A freeze of what is frozen is a new one: a thaw that was
/// proposed before is not for it. A lift that loses against another write is not tried again.
pub async fn set_organization_frozen(ctx: &OpCtx, services: &Services, frozen: bool) -> Result<Organization> {
    set_frozen(ctx, services, frozen, || services.store.organization(ctx.organization)).await
}

impl Freeze for Organization {
    const NOUN: &'static str = "organization";
    const ACTIONS: [&'static str; 2] = ["organization.frozen", "organization.thawed"];

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
        Write::UpdateOrganization(next)
    }
}
