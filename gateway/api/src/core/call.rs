//! One call of an operation: authenticated, authorized, its body read and hashed. The last argument of every
//! handler, and the only way to a caller's identity.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request},
    http::{HeaderMap, Method, header, request::Parts},
};
use gateway_domain::{
    B256, Error, OpCtx,
    actor::{Actor, SessionActor, WalletActor},
    ids::OrganizationId,
};
use sha2::{Digest as _, Sha256};

use crate::{
    auth::{self, Presented, RequestFacts, SignatureHeaders, SignedApproval, SignedAt},
    core::{
        approvals::approved_of,
        authorization::{self, Callers, Reach, Rule, SignatureRule, TokenRule},
    },
    extract::{RawBody, Wire, read_query, scalar},
    failure::Failure,
    layers::{CallerNote, FAILURES, RequestId, Source},
    state::App,
};

mod escrow_proof;

pub(crate) struct Call {
    pub(crate) ctx: OpCtx,
    pub(crate) reach: Reach,
    pub(crate) headers: HeaderMap,
    /// Until when a form 3 signature holds, seconds since the epoch.
    pub(crate) signed_until: Option<u64>,
    pub(crate) body: RawBody,
    source: Source,
    method: Method,
    /// Path with query, as sent.
    target: String,
    path: Vec<(String, String)>,
    query: Option<String>,
    app: Arc<App>,
}

impl Call {
    /// The session that calls, where the operation is for sessions.
    pub(crate) fn session(&self) -> Result<&SessionActor, Failure> {
        match &self.ctx.actor {
            Actor::Session(session) => Ok(session),
            Actor::Anonymous
            | Actor::ApiKey(_)
            | Actor::Wallet(_)
            | Actor::Gateway
            | Actor::InternalToken
            | Actor::Operator(_)
            | Actor::LocalOperator => Err(Error::Unauthenticated.into()),
        }
    }

    /// Charges a failed proof that the body carries to the request's source.
    pub(crate) async fn charged<T>(&self, proven: Result<T, Failure>) -> Result<T, Failure> {
        charge_failure(&self.app, self.source, proven).await
    }

    /// A path parameter, by the rule for its kind.
    pub(crate) fn path<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        path_value(&self.path, name, read)
    }

    /// The body, or every fault of it.
    pub(crate) fn body<T: Wire>(&self) -> Result<T, Failure> {
        self.body.read_as(&self.app.config)
    }

    /// The query, or every fault of it.
    pub(crate) fn query<T: Wire>(&self) -> Result<T, Failure> {
        read_query(self.query.as_deref())
    }
}

impl FromRequest<Arc<App>> for Call {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let rule = rule_of(&parts)?;
        let params = RawPathParams::from_request_parts(&mut parts, app).await;
        let params = params.map_err(|_| Failure::invalid("the path must be UTF-8 when percent-decoded"))?;
        let path = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut caller = Caller { app, rule, parts: &parts, path: &path, signed_until: None };
        let (actor, organization, body) = match caller.method()? {
            CredentialKind::InternalToken => {
                let organization = caller.internal_token().await?;
                let body = RawBody::read(&parts.headers, body, &app.config).await?;
                (Actor::InternalToken, organization, body)
            }
            CredentialKind::ApiKey => {
                // Before the body: a stranger gets nothing read.
                let (actor, organization) = caller.api_key().await?;
                (actor, organization, RawBody::read(&parts.headers, body, &app.config).await?)
            }
            CredentialKind::Signature => {
                let body = RawBody::read(&parts.headers, body, &app.config).await?;
                let organization = caller.host_organization();
                (Actor::Wallet(caller.wallet(organization, &body).await?), organization, body)
            }
            CredentialKind::Token => {
                let organization = caller.host_organization();
                let session = caller.session(organization).await?;
                let body = RawBody::read(&parts.headers, body, &app.config).await?;
                (Actor::Session(session), organization, body)
            }
            CredentialKind::None => {
                caller.slow_strangers().await?;
                let body = RawBody::read(&parts.headers, body, &app.config).await?;
                (Actor::Anonymous, caller.host_organization(), body)
            }
        };
        let (signed_until, source) = (caller.signed_until, caller.source());
        let ctx = context(app, &parts, organization, actor);
        if let Some(note) = parts.extensions.get::<CallerNote>() {
            note.note(&ctx);
        }
        charge(app, &ctx)?;
        let reach = rule.reach(&ctx)?;
        let query = parts.uri.query().map(str::to_owned);
        let target = target(&parts).to_owned();
        let Parts { method, headers, .. } = parts;
        let app = Arc::clone(app);
        Ok(Self { ctx, reach, headers, signed_until, body, source, method, target, path, query, app })
    }
}

#[derive(Clone, Copy)]
enum CredentialKind {
    ApiKey,
    Signature,
    Token,
    InternalToken,
    None,
}

/// Proving who calls, for one request.
struct Caller<'a> {
    app: &'a App,
    rule: &'static Rule,
    parts: &'a Parts,
    path: &'a Vec<(String, String)>,
    signed_until: Option<u64>,
}

impl Caller<'_> {
    /// Which of the operation's methods the request uses. Methods it does not have are ignored, unless there is
    /// nothing else: then one that it refuses is proven, to be refused by name.
    fn method(&self) -> Result<CredentialKind, Failure> {
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
    async fn slow_strangers(&self) -> Result<(), Failure> {
        if self.rule.callers != Callers::Strangers {
            return Ok(());
        }
        self.app.rates.login.take(self.rule.operation, self.source().bucket()).await?;
        self.refuse_guessers()
    }

    async fn session(&self, organization: OrganizationId) -> Result<SessionActor, Failure> {
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
    async fn internal_token(&self) -> Result<OrganizationId, Failure> {
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

    async fn api_key(&self) -> Result<(Actor, OrganizationId), Failure> {
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

    async fn wallet(&mut self, organization: OrganizationId, body: &RawBody) -> Result<WalletActor, Failure> {
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
                let place = (organization, services.clock.now());
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
        auth::authenticate_approval(services, (organization, services.clock.now()), headers, &approval).await
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

    fn source(&self) -> Source {
        self.parts.extensions.get::<Source>().copied().unwrap_or(Source(None))
    }

    fn host_organization(&self) -> OrganizationId {
        let header = self.parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = self.parts.uri.authority().map(axum::http::uri::Authority::as_str).or(header);
        self.app.organization_of_host(host)
    }
}

/// Path with query, as sent.
fn target(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("/", |path| path.as_str())
}

/// How long a contract's signature may be, where contracts are asked at all.
fn contract_signature_bytes_max(app: &App) -> Option<usize> {
    app.services.contract_accounts.as_ref().map(|accounts| accounts.signature_bytes_max())
}

fn rule_of(parts: &Parts) -> Result<&'static Rule, Failure> {
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    authorization::rule(&parts.method, route)
        .ok_or_else(|| Error::inconsistency(format!("`{route}` is not in the authorization table")).into())
}

fn context(app: &App, parts: &Parts, organization: OrganizationId, actor: Actor) -> OpCtx {
    let id = parts.extensions.get::<RequestId>();
    OpCtx {
        organization,
        actor,
        source: parts.extensions.get::<Source>().and_then(|source| source.0),
        request_id: id.map_or_else(|| "-".to_owned(), |id| id.0.to_string()),
        now: app.services.clock.now(),
    }
}

/// A failure beyond the source's allowance is answered as such. While the database cannot count, this gateway's own
/// bucket does: what fails needs no allowance to fail.
async fn charge_failure<T>(app: &App, source: Source, proven: Result<T, Failure>) -> Result<T, Failure> {
    if proven.as_ref().is_err_and(Failure::is_unauthenticated) {
        match app.rates.failures.take(FAILURES, source.bucket()).await {
            Err(limited @ Failure::RateLimited { .. }) => return Err(limited),
            Err(Failure::Domain(error)) => {
                tracing::warn!(%error, "a failed authentication is counted here only");
            }
            Ok(()) | Err(_) => {}
        }
    }
    proven
}

/// Takes one request from the caller's own rate.
fn charge(app: &App, ctx: &OpCtx) -> Result<(), Failure> {
    let name = match &ctx.actor {
        Actor::ApiKey(key) => key.credential.to_string(),
        Actor::Wallet(wallet) => wallet.address.to_string(),
        Actor::Session(session) => session.session.to_string(),
        Actor::Anonymous
        | Actor::Gateway
        | Actor::InternalToken
        | Actor::Operator(_)
        | Actor::LocalOperator => return Ok(()),
    };
    app.rates.credential.check(&name).map_err(|retry_after| Failure::RateLimited { retry_after })
}

fn path_value<T>(
    path: &[(String, String)],
    name: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    let value = path.iter().find(|(parameter, _)| parameter == name).map_or("", |(_, value)| value.as_str());
    read(value).map_err(|rule| Failure::invalid(format!("{name} {rule}")))
}
