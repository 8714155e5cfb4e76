//! Ending what a crash interrupted between a key's reservation and its activation.

use serde_json::json;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, CommitError, Contested, Write},
    clock::Timestamp,
    error::{Error, Result},
    keys::{
        KeyPurpose, KeyState,
        generate::{completed, given_up},
    },
    ports::Services,
};

/// What became of keys whose making was interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FinishedKeys {
    /// Taken into use: the token holds the pair, and it has proven itself.
    pub adopted: u32,
    /// Taken out of use: the token holds no pair, or one whose address nobody was ever told.
    pub retired: u32,
    /// The token holds half a pair or something else under their id. Keys that have nobody are retired all the same,
    /// others left as they are.
    pub refused: u32,
}

impl FinishedKeys {
    /// How many rows have changed.
    pub fn count(self) -> u32 {
        self.adopted + self.retired
    }
}

/// Ends up to `limit` reservations that were made before `before`, which lies further back than the token may take
/// for a generation. Where the token holds the pair, it is adopted. A wallet key belongs to a user, and a key of a
/// certificate request to an integration, which are stored in the moment of its activation, so an interrupted one has
/// nobody: its address is recorded, so that it cannot be claimed, and the key retired, so that the quota is given back.
pub async fn finish_unfinished_keys(
    services: &Services,
    before: Timestamp,
    limit: u32,
) -> Result<FinishedKeys> {
    let mut finished = FinishedKeys::default();
    for reserved in services.store.unfinished_keys(before, limit).await? {
        let now = services.clock.now();
        let ctx = OpCtx::gateway(reserved.organization, now);
        let has_nobody = matches!(reserved.purpose, KeyPurpose::Wallet | KeyPurpose::FireblocksRequest);
        let (held, in_token) = match services.token_keys.adopt(&reserved).await {
            // A token that was cut off may hold half a pair. It is never used, and a wallet key's address was never told.
            Err(Error::Inconsistency(_)) => {
                finished.refused += 1;
                (None, "unusable")
            }
            asked => {
                let held = asked?;
                let in_token = if held.is_some() { "whole" } else { "absent" };
                (held, in_token)
            }
        };
        if in_token == "unusable" && !has_nobody {
            continue;
        }
        let ended = match held {
            Some(public_key) if has_nobody => completed(reserved, public_key, KeyState::Retired),
            Some(public_key) => completed(reserved, public_key, KeyState::Active),
            None => given_up(reserved),
        };
        let is_adopted = ended.state == KeyState::Active;
        let action = if is_adopted { "key.activated" } else { "key.abandoned" };
        let detail = json!({"interrupted": true, "inToken": in_token, "address": ended.address});
        let event = AuditEvent::new(&ctx, action, format!("key {}", ended.id), detail);
        let changes = ChangeSet::new(event).write(Write::UpdateKey(services.sealer.seal(ended)));
        match services.store.commit(changes).await {
            Ok(()) if is_adopted => finished.adopted += 1,
            Ok(()) => finished.retired += 1,
            // Another gateway was faster, or the key's maker was alive after all.
            Err(CommitError::Conflict(Contested::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(finished)
}
