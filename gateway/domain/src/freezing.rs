//! Stopping an organization, a vault or a key, and letting it go on: the same for each.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    ports::Services,
    sealed::{Sealable, Sealed},
};

/// A row that one person can freeze.
pub(crate) trait Freeze: Sealable + Clone {
    const NOUN: &'static str;
    /// What is put on record of a freeze, and of a lift.
    const ACTIONS: [&'static str; 2];

    fn id(&self) -> String;
    fn is_frozen(&self) -> bool;
    fn version(&self) -> u64;
    /// The row's next version.
    fn with_frozen(self, frozen: bool) -> Self;
    fn update(next: Sealed<Self>) -> Write;
}

/// Sets whether what `read` finds is frozen. A freeze of what is frozen is a new one: a thaw that was proposed before is not
/// for it. A lift that loses against another write is not tried again.
pub(crate) async fn set_frozen<T: Freeze, F: Future<Output = Result<Option<Sealed<T>>>>>(
    ctx: &OpCtx,
    services: &Services,
    frozen: bool,
    read: impl Fn() -> F,
) -> Result<T> {
    for _ in 0..services.limits.contest_attempts_max.max(1) {
        let stored = read().await?.ok_or(Error::NotFound(T::NOUN))?;
        if !frozen && !stored.is_frozen() {
            return Ok(stored.into_value());
        }
        let next = stored.into_value().with_frozen(frozen);
        let changes = ChangeSet::new(event(ctx, &next)).write(T::update(services.sealer.seal(next.clone())));
        match services.store.commit(changes).await {
            Ok(()) => return Ok(next),
            // A lift is judged by what was frozen when it was asked for.
            Err(CommitError::Conflict(Contested::Version)) if frozen => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", format!("too many writers wanted the same {}", T::NOUN)))
}

/// What lifts the freeze of a row that was read.
pub(crate) fn thawed<T: Freeze>(ctx: &OpCtx, services: &Services, stored: Sealed<T>) -> (AuditEvent, Write) {
    let next = stored.into_value().with_frozen(false);
    (event(ctx, &next), T::update(services.sealer.seal(next)))
}

fn event<T: Freeze>(ctx: &OpCtx, next: &T) -> AuditEvent {
    let [freezes, thaws] = T::ACTIONS;
    let action = if next.is_frozen() { freezes } else { thaws };
    AuditEvent::new(ctx, action, format!("{} {}", T::NOUN, next.id()), json!({}))
}
