//! Whose OpenPGP key it is: public keys are public, so anybody may name one first.

use alloy_primitives::Address;
use serde_json::json;

use super::{RegisterKey, Registration};
use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    error::{Error, Result},
    openpgp::Fingerprint,
    ports::Services,
};

/// What the OpenPGP key signs to show that whoever has it wants it to be this account's, here and nowhere else.
pub fn possession_text(origin: &str, account: Address, fingerprint: Fingerprint) -> String {
    format!("gateway-core-openpgp-v1 {origin} {} {fingerprint}", account.to_checksum(None))
}

/// Whoever sends a signature by the key must have made it for this user.
pub(super) fn verify_possession(
    ctx: &OpCtx,
    services: &Services,
    request: &RegisterKey,
    fingerprint: Fingerprint,
) -> Result<()> {
    let Some(signature) = &request.possession else { return Ok(()) };
    let origin = services.origin_of(ctx.organization);
    let text = possession_text(origin, request.user.ethereum_address, fingerprint);
    let signed = (signature.as_str(), text.as_str());
    let verified = services.publication.openpgp.verify_possession(&request.public_key, signed, ctx.now);
    verified.map_err(|fault| Error::invalid(format!("pgpSignature {fault}: `{text}`")))
}

/// Two who both have the key are for people to sort out.
pub(super) fn require_takeover(request: &RegisterKey, other: &Registration) -> Result<()> {
    match (&request.possession, &other.possession) {
        (Some(_), None) => Ok(()),
        (None, None) => Err(Error::Conflict(
            "pgpPublicKey is registered by another user, who has not shown that it is theirs; pgpSignature shows whose it is",
        )),
        (_, Some(_)) => Err(Error::Conflict("pgpPublicKey is registered by another user")),
    }
}

/// The key is no longer this user's. A record that is under way goes on: its nonce must not stay open.
pub(super) fn taken_over(
    ctx: &OpCtx,
    services: &Services,
    changes: ChangeSet,
    other: Registration,
) -> ChangeSet {
    let version = other.version + 1;
    let other =
        Registration { current: false, taken_over_at: Some(ctx.now), version, updated_at: ctx.now, ..other };
    let detail = json!({"fingerprint": other.fingerprint, "account": other.account});
    let subject = format!("registration {}", other.id);
    changes
        .event(AuditEvent::new(ctx, "registration.taken_over", subject, detail))
        .write(Write::UpdateRegistration(services.sealer.seal(other)))
}
