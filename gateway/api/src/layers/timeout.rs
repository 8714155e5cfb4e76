//! Bounds the time a request may take. Work that must not be cut off runs in owned tasks.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{failure::Failure, layers::Gate};

pub(crate) async fn timeout(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(gate.config.request_timeout(), next.run(request)).await;
    answered.unwrap_or_else(|_| Failure::TimedOut.into_response())
}
