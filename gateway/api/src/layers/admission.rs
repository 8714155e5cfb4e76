//! Bounds the requests under way: one more is refused at once instead of queueing without end.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{failure::Failure, state::App};

pub(crate) async fn admission(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.in_flight.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => Failure::Overloaded.into_response(),
    }
}
