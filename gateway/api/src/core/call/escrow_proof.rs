//! What stands beside an access token for an escrow address that is not the session's wallet.

use gateway_domain::{Error, OpCtx, actor::Actor, credentials::Scope, settings::EscrowProof};

use crate::{
    auth::{self, Place, Presented, RequestFacts, SignedAt},
    core::call::{Call, caller::contract_signature_bytes_max},
    failure::Failure,
};

impl Call {
    /// `x-ethereum-signature` over this very request, or the `x-api-key` of an admin of the session's organization.
    pub(crate) async fn escrow_proof(&self) -> Result<EscrowProof, Failure> {
        let presented = Presented::of(&self.headers);
        let proven = match (presented.has_signature(), presented.has_api_key()) {
            (false, false) => return Ok(EscrowProof::Session),
            (true, true) => {
                let rule = "x-ethereum-signature and x-api-key exclude each other";
                return Err(Failure::Malformed(rule.to_owned()));
            }
            (true, false) => self.signature_beside().await,
            (false, true) => self.admin_key_beside().await,
        };
        self.charged(proven).await
    }

    async fn signature_beside(&self) -> Result<EscrowProof, Failure> {
        let headers = Presented::of(&self.headers).signature(contract_signature_bytes_max(&self.app))?;
        // Without a time in it the signature could be used again for ever.
        if headers.signed_at == SignedAt::Untimed {
            return Err(Failure::Malformed("header x-ethereum-timestamp is required".to_owned()));
        }
        let facts =
            RequestFacts { method: self.method.as_str(), path: &self.target, body_hash: self.body.hash() };
        let (services, config) = (&self.app.services, &self.app.config.eth_signature);
        let (organization, now) = (self.ctx.organization, self.ctx.now);
        let place = Place { organization, now, source: self.source.bucket() };
        auth::authenticate_request(services, config, place, &headers, &facts).await.map(EscrowProof::Wallet)
    }

    async fn admin_key_beside(&self) -> Result<EscrowProof, Failure> {
        let text = Presented::of(&self.headers).api_key()?;
        let key = auth::authenticate_key(&self.app, text, self.source, self.ctx.now).await?;
        let ctx = OpCtx { actor: Actor::from(&*key), ..self.ctx.clone() };
        if key.organization != self.ctx.organization || !ctx.has_scope(Scope::Admin) {
            return Err(Error::Unauthenticated.into());
        }
        self.app.key_uses.note(&self.app, &key);
        Ok(EscrowProof::AdminKey(key.id))
    }
}
