//! Bounds what precedes the body. The body itself is bounded where it is read.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Uri},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{config::ApiConfig, failure::Failure, layers::Gate};

pub(crate) async fn size(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    match check(&gate.config, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

fn check(config: &ApiConfig, uri: &Uri, headers: &HeaderMap) -> Result<(), Failure> {
    let uri_bytes = uri.path_and_query().map_or(0, |text| text.as_str().len());
    if uri_bytes > config.uri_bytes_max {
        return Err(Failure::UriTooLong { bytes_max: config.uri_bytes_max });
    }
    let header_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if header_bytes > config.header_bytes_max {
        return Err(Failure::HeadersTooLarge { bytes_max: config.header_bytes_max });
    }
    Ok(())
}
