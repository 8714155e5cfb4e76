//! One span, one line and one metric per request. Route templates are recorded, never paths, values or bodies.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
    middleware::Next,
    response::Response,
};
use gateway_domain::{OpCtx, ids::OrganizationId, ids::PrincipalId};
use tracing::Instrument;

use crate::layers::RequestId;

/// Where the authenticator leaves who called, for the access line.
#[derive(Clone, Default)]
pub(crate) struct CallerNote(Arc<OnceLock<(OrganizationId, Option<PrincipalId>)>>);

impl CallerNote {
    pub(crate) fn note(&self, ctx: &OpCtx) {
        // Set once per request; a second authentication of the same request cannot happen.
        let _ = self.0.set((ctx.organization, ctx.principal()));
    }
}

pub(crate) async fn access(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_name(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("-", MatchedPath::as_str);
    let id = request.extensions().get::<RequestId>().cloned();
    let id = id.as_ref().map_or("-", |id| &*id.0);
    let caller = CallerNote::default();
    request.extensions_mut().insert(caller.clone());

    let span = tracing::info_span!(
        "http.request",
        http.request.method = method,
        http.route = route,
        request.id = id
    );
    let response = next.run(request).instrument(span).await;

    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    let (organization, principal) = caller.0.get().map_or((None, None), |(organization, principal)| {
        (Some(organization.to_string()), principal.map(|principal| principal.to_string()))
    });
    tracing::info!(
        http.request.method = method,
        http.route = route,
        http.response.status_code = status,
        duration_micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        organization.id = organization,
        principal.id = principal,
        request.id = id,
        "answered a request"
    );
    let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
    metrics::counter!("countersign_http_requests_total", &labels).increment(1);
    metrics::histogram!("countersign_http_request_duration_seconds", &labels).record(elapsed);
    response
}

/// A closed set, so that callers cannot make new label values.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
