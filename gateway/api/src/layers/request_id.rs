//! Names each request. A client's own id is not taken over: it would let two callers share one.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::HeaderValue,
    middleware::Next,
    response::Response,
};
use gateway_domain::entropy::draw;

use crate::layers::Gate;

/// The id of a request, in its extensions, its answer's `x-request-id` and every error body.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

pub(crate) async fn request_id(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let random = draw::<10>(gate.entropy.as_ref());
    let millis = gate.clock.now().unix_millis();
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string();
    request.extensions_mut().insert(RequestId(id.as_str().into()));
    let mut response = next.run(request).await;
    let value = HeaderValue::try_from(id).expect("a UUID is visible ASCII");
    response.headers_mut().insert("x-request-id", value);
    response
}
