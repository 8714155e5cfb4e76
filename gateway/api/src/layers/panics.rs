//! A panic ends its request with the family's 500, and nothing else.

use std::any::Any;

use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use crate::failure::Failure;

type Render = fn(Box<dyn Any + Send + 'static>) -> Response;

pub(crate) fn catch_panics() -> CatchPanicLayer<Render> {
    CatchPanicLayer::custom(render as Render)
}

/// The payload is not looked at: it may hold anything.
fn render(_payload: Box<dyn Any + Send + 'static>) -> Response {
    Failure::Panicked.into_response()
}
