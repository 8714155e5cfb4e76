//! Proving who calls, by the methods that the operation has.

use axum::http::{header, request::Parts};
use gateway_domain::{
    B256, Error,
    actor::{Actor, SessionActor, WalletActor},
    ids::OrganizationId,
};
use sha2::{Digest as _, Sha256};

use super::{charges::charge_failure, path_value, target};
use crate::{
    auth::{self, Place, Presented, RequestFacts, SignatureHeaders, SignedApproval, SignedAt},
    core::{
        approvals::approved_of,
        authorization::{Callers, Rule, SignatureRule, TokenRule},
    },
    extract::{RawBody, scalar},
    failure::Failure,
    layers::{FAILURES, Source},
    state::App,
};

#[derive(Clone, Copy)]
pub(super) enum CredentialKind {
    ApiKey,
    Signature,
    Token,
    InternalToken,
    None,
}

/// Proving who calls, for one request.
pub(super) struct Caller<'a> {
    app: &'a App,
    rule: &'static Rule,
    parts: &'a Parts,
    path: &'a [(String, String)],
    /// Until when a form 3 signature holds, once one was proven.
    pub(super) signed_until: Option<u64>,
}

impl<'a> Caller<'a> {
    pub(super) fn new(
        app: &'a App,
        rule: &'static Rule,
        (parts, path): (&'a Parts, &'a [(String, String)]),
    ) -> Self {
        Self { app, rule, parts, path, signed_until: None }
    }

    /// Which of the operation's methods the request uses. Methods it does not have are ignored, unless there is
    /// nothing else: then one that it refuses is proven, to be refused by name.
    pub(super) fn method(&self) -> Result<CredentialKind, Failure> {
        if self.rule.callers == Callers::Internal {
            return self.internal_method();
        }
        let Callers::Credentials { keys, signatures, tokens } = self.rule.callers else {
            return Ok(CredentialKind::None);
        };
        let presented = Presented::of(&self.parts.headers);
        let mut used = Vec::new();
        if presented.has_api_key() && keys.is_some() {
            used.push(("x-api-key", CredentialKind::ApiKey));
        }
        if presented.has_signature()
            && matches!(signatures, SignatureRule::Request | SignatureRule::RequestOrApproval)
        {
            used.push(("x-ethereum-signature", CredentialKind::Signature));
        }
        if presented.has_token() && tokens == TokenRule::Own {
            used.push(("authorization", CredentialKind::Token));
        }
        match used.as_slice() {
            [(_, only)] => Ok(*only),
            [(one, _), (other, _), ..] => {
                Err(Failure::Malformed(format!("{one} and {other} exclude each other")))
            }
            [] if presented.has_signature() && signatures == SignatureRule::Refused => {
                Ok(CredentialKind::Signature)
            }
            [] if presented.has_token() && tokens == TokenRule::Refused => Ok(CredentialKind::Token),
            [] => Err(Failure::CredentialMissing),
        }
    }

    /// Takes one request from the source's rate for this very operation.
    pub(super) async fn slow_strangers(&self) -> Result<(), Failure> {
        if self.rule.callers != Callers::Strangers {
            return Ok(());
        }
        self.app.rates.login.take(self.rule.operation, self.source().bucket()).await?;
        self.refuse_guessers()
    }

    pub(super) async fn session(&self, organization: OrganizationId) -> Result<SessionActor, Failure> {
        self.refuse_guessers()?;
        let proven = match Presented::of(&self.parts.headers).token() {
            Ok(token) => self.app.tokens.authenticate(&self.app.services, organization, token).await,
            Err(failure) => Err(failure),
        };
        self.charged(proven).await
    }

    fn internal_method(&self) -> Result<CredentialKind, Failure> {
        let presented = Presented::of(&self.parts.headers);
        match (presented.has_api_key(), presented.has_internal_token()) {
            (true, true) => {
                Err(Failure::Malformed("x-api-key and x-internal-token exclude each other".to_owned()))
            }
            (true, false) => Ok(CredentialKind::ApiKey),
            (false, true) => Ok(CredentialKind::InternalToken),
            (false, false) => Err(Failure::CredentialMissing),
        }
    }

    /// The token is the default organization's; only its hash is known here.
    pub(super) async fn internal_token(&self) -> Result<OrganizationId, Failure> {
        self.refuse_guessers()?;
        let given = Presented::of(&self.parts.headers).internal_token();
        let proven = given.and_then(|given| {
            let hash = B256::new(Sha256::digest(given.as_bytes()).into());
            match self.app.internal_token {
                Some(known) if known == hash => Ok(self.app.default_organization),
                Some(_) | None => Err(Error::Unauthenticated.into()),
            }
        });
        self.charged(proven).await
    }

    pub(super) async fn api_key(&self) -> Result<(Actor, OrganizationId), Failure> {
        self.refuse_guessers()?;
        let services = &self.app.services;
        let text = Presented::of(&self.parts.headers).api_key();
        let found = match text {
            Ok(text) => auth::authenticate_key(self.app, text, self.source(), services.clock.now()).await,
            Err(failure) => Err(failure),
        };
        let key = self.charged(found).await?;
        self.app.key_uses.note(self.app, &key);
        Ok((Actor::from(&*key), key.organization))
    }

    pub(super) async fn wallet(
        &mut self,
        organization: OrganizationId,
        body: &RawBody,
    ) -> Result<WalletActor, Failure> {
        self.refuse_guessers()?;
        let proven = self.prove(organization, body).await;
        self.charged(proven).await
    }

    async fn prove(&mut self, organization: OrganizationId, body: &RawBody) -> Result<WalletActor, Failure> {
        let headers = Presented::of(&self.parts.headers).signature(contract_signature_bytes_max(self.app))?;
        let may_sign_approval = matches!(
            self.rule.callers,
            Callers::Credentials { signatures: SignatureRule::RequestOrApproval, .. }
        );
        match headers.signed_at {
            SignedAt::Expires(expires) if may_sign_approval => {
                self.signed_until = Some(expires);
                self.prove_approval(organization, body, &headers, expires).await
            }
            // Without a time in it the signature can be used again for ever, so it may change nothing but a vote.
            SignedAt::Untimed if !self.parts.method.is_safe() && !may_sign_approval => {
                Err(Failure::Malformed("header x-ethereum-timestamp is required".to_owned()))
            }
            SignedAt::Expires(_) | SignedAt::Timestamp(_) | SignedAt::Untimed => {
                let path = target(self.parts);
                let facts = RequestFacts { method: self.parts.method.as_str(), path, body_hash: body.hash() };
                let services = &self.app.services;
                let place = self.place(organization);
                let config = &self.app.config.eth_signature;
                let wallet = auth::authenticate_request(services, config, place, &headers, &facts).await?;
                if self.parts.method.is_safe() && headers.signed_at != SignedAt::Untimed {
                    self.read_once(organization, &wallet).await?;
                }
                Ok(wallet)
            }
        }
    }

    /// A signed request to read is answered once (T22); those to change something are guarded together with their
    /// effect. Only for people who are enrolled: others are shown nothing, and could fill the table (T38).
    async fn read_once(&self, organization: OrganizationId, wallet: &WalletActor) -> Result<(), Failure> {
        if wallet.principal.is_none() {
            return Ok(());
        }
        let checked = self.app.rates.wallet.check(&wallet.address);
        checked.map_err(|retry_after| Failure::RateLimited { retry_after })?;
        let unused = self.app.services.store.use_once(wallet.replay_guard(organization)).await?;
        if unused { Ok(()) } else { Err(Error::Unauthenticated.into()) }
    }

    /// A transaction that does not exist here cannot have been signed for, so strangers learn nothing.
    async fn prove_approval(
        &self,
        organization: OrganizationId,
        body: &RawBody,
        headers: &SignatureHeaders,
        expires: u64,
    ) -> Result<WalletActor, Failure> {
        let services = &self.app.services;
        let request_hash = path_value(self.path, "requestHash", scalar::bytes32_text)?;
        let approved = approved_of(&body.json(&self.app.config)?)?;
        let found = services.store.transaction_by_request_hash(organization, request_hash).await?;
        let transaction = found.ok_or(Error::Unauthenticated)?;
        let approval = SignedApproval { transaction: &transaction, approved, expires };
        auth::authenticate_approval(services, self.place(organization), headers, &approval).await
    }

    fn place(&self, organization: OrganizationId) -> Place {
        Place { organization, now: self.app.services.clock.now(), source: self.source().bucket() }
    }

    fn refuse_guessers(&self) -> Result<(), Failure> {
        match self.app.rates.failures.wait(FAILURES, self.source().bucket()) {
            Some(retry_after) => Err(Failure::RateLimited { retry_after }),
            None => Ok(()),
        }
    }

    /// Charges a failed proof to the source, never to the key or wallet that was named (T25).
    async fn charged<T>(&self, proven: Result<T, Failure>) -> Result<T, Failure> {
        charge_failure(self.app, self.source(), proven).await
    }

    pub(super) fn source(&self) -> Source {
        self.parts.extensions.get::<Source>().copied().unwrap_or(Source(None))
    }

    pub(super) fn host_organization(&self) -> OrganizationId {
        let header = self.parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = self.parts.uri.authority().map(axum::http::uri::Authority::as_str).or(header);
        self.app.organization_of_host(host)
    }
}

/// How long a contract's signature may be, where contracts are asked at all.
pub(super) fn contract_signature_bytes_max(app: &App) -> Option<usize> {
    app.services.contract_accounts.as_ref().map(|accounts| accounts.signature_bytes_max())
}
