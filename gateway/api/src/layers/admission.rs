//! Bounds the requests under way: one more is refused at once instead of queueing without end.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{failure::Failure, layers::Gate};

pub(crate) async fn admission(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    match gate.in_flight.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => Failure::Overloaded.into_response(),
    }
}
