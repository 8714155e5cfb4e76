//! One call of an operation: authenticated, authorized, its body read and hashed. The last argument of every
//! handler, and the only way to a caller's identity.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request},
    http::{HeaderMap, Method, request::Parts},
};
use gateway_domain::{
    Error, OpCtx,
    actor::{Actor, SessionActor},
    identity::User,
    ids::OrganizationId,
};

use crate::{
    auth::prove_personal,
    core::authorization::{self, Reach, Rule},
    extract::{RawBody, Wire, read_query},
    failure::Failure,
    layers::{CallerNote, RequestId, Source},
    state::App,
};

mod caller;
mod charges;
mod escrow_proof;

use caller::{Caller, CredentialKind};
use charges::{charge, charge_failure};

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

    /// Takes the user's `personal_sign` of `message` out of the body, or says `rule`. Nodes that are asked about a
    /// contract cost the source what a failed login costs.
    pub(crate) async fn personally_signed(
        &self,
        user: &User,
        (message, signature): (&[u8], &[u8]),
        rule: &'static str,
    ) -> Result<(), Failure> {
        let proven = prove_personal(&self.app.services, (user, self.source), message, signature).await;
        let proven = proven.map_err(Failure::from);
        let proven = if user.contract_chain.is_some() { self.charged(proven).await } else { proven };
        proven.map_err(|failure| match failure {
            Failure::Domain(Error::Unauthenticated) => Failure::invalid(rule),
            other => other,
        })
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
        let path: Vec<_> = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut caller = Caller::new(app, rule, (&parts, &path));
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
        charge(app, &ctx, rule).await?;
        let reach = rule.reach(&ctx)?;
        let query = parts.uri.query().map(str::to_owned);
        let target = target(&parts).to_owned();
        let Parts { method, headers, .. } = parts;
        let app = Arc::clone(app);
        Ok(Self { ctx, reach, headers, signed_until, body, source, method, target, path, query, app })
    }
}

/// Path with query, as sent.
fn target(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("/", |path| path.as_str())
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

fn path_value<T>(
    path: &[(String, String)],
    name: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    let value = path.iter().find(|(parameter, _)| parameter == name).map_or("", |(_, value)| value.as_str());
    read(value).map_err(|rule| Failure::invalid(format!("{name} {rule}")))
}
