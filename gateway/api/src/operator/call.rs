//! One request of an operator: proven, its body read and hashed. The last argument of every handler of `/operator/v1`.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, FromRequest, FromRequestParts as _, RawPathParams, Request},
    http::{Extensions, HeaderMap, header},
};
use gateway_domain::{OpCtx, actor::Actor, ids::OrganizationId, operators::DEPLOYMENT};

use super::{
    Desk,
    proof::{self, Head},
};
use crate::{
    extract::{RawBody, Wire, read_query},
    failure::Failure,
    layers::{RequestId, Source},
};

pub(super) struct OperatorCall {
    /// Of the whole deployment; see [`OperatorCall::within`].
    pub(super) ctx: OpCtx,
    pub(super) body: RawBody,
    path: Vec<(String, String)>,
    query: Option<String>,
    desk: Arc<Desk>,
}

impl OperatorCall {
    /// The same call in one organization.
    pub(super) fn within(&self, organization: OrganizationId) -> OpCtx {
        OpCtx { organization, ..self.ctx.clone() }
    }

    pub(super) fn body<T: Wire>(&self) -> Result<T, Failure> {
        self.body.read_as(&self.desk.config)
    }

    pub(super) fn query<T: Wire>(&self) -> Result<T, Failure> {
        read_query(self.query.as_deref())
    }

    /// A path parameter that is a number of a revision.
    pub(super) fn number(&self, name: &str) -> Result<u64, Failure> {
        let value = self.path.iter().find(|(parameter, _)| parameter == name);
        let parsed = value.and_then(|(_, value)| value.parse().ok()).filter(|number| *number > 0);
        parsed.ok_or_else(|| Failure::invalid(format!("{name} must be a whole number of at least 1")))
    }

    /// A path parameter that is an id.
    pub(super) fn id<T: std::str::FromStr>(&self, name: &str) -> Result<T, Failure> {
        let value = self.path.iter().find(|(parameter, _)| parameter == name);
        let parsed = value.and_then(|(_, value)| value.parse().ok());
        parsed.ok_or_else(|| Failure::invalid(format!("{name} must be a UUID")))
    }
}

impl FromRequest<Arc<Desk>> for OperatorCall {
    type Rejection = Failure;

    async fn from_request(request: Request, desk: &Arc<Desk>) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        desk.admit_source(source(&parts.extensions).bucket())?;
        let params = RawPathParams::from_request_parts(&mut parts, desk).await;
        let params = params.map_err(|_| Failure::invalid("the path must be UTF-8 when percent-decoded"))?;
        let path = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let authorization = authorization(&parts.headers)?;
        let path_with_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let head = Head { method: parts.method.as_str(), path: path_with_query };
        // Before the body, which may be long: who may not send one gets nothing read.
        let proof = proof::examine(&desk.services, &desk.config, authorization, &head).await?;
        desk.require_role(proof.operator())?;
        let proven = proof.accept(&desk.services).await?;
        desk.charge(proven.operator())?;
        let body = RawBody::read(&parts.headers, body, &desk.config).await?;
        let operator = proven.with_body(body.hash())?;
        let id = parts.extensions.get::<RequestId>();
        let ctx = OpCtx {
            organization: DEPLOYMENT,
            actor: Actor::Operator(operator),
            source: None,
            request_id: id.map_or_else(|| "-".to_owned(), |id| id.0.to_string()),
            now: desk.services.clock.now(),
        };
        let query = parts.uri.query().map(str::to_owned);
        Ok(Self { ctx, body, path, query, desk: Arc::clone(desk) })
    }
}

/// The peer: no proxy stands before this listener.
fn source(extensions: &Extensions) -> Source {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    Source(peer.map(|peer| peer.0.ip().to_canonical()))
}

/// Before the body: who shows nothing gets nothing read.
fn authorization(headers: &HeaderMap) -> Result<Option<&str>, Failure> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.to_str().ok()),
        (None, _) => Err(Failure::CredentialMissing),
        (Some(_), Some(_)) => Err(Failure::Malformed("header authorization is given twice".to_owned())),
    }
}
