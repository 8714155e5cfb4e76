//! Successful answers.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::failure::Failure;

/// A JSON body with its status.
pub(crate) struct Answer<T>(pub(crate) StatusCode, pub(crate) T);

pub(crate) type Answered<T> = Result<Answer<T>, Failure>;

pub(crate) fn ok<T>(body: T) -> Answer<T> {
    Answer(StatusCode::OK, body)
}

pub(crate) fn created<T>(body: T) -> Answer<T> {
    Answer(StatusCode::CREATED, body)
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let Self(status, body) = self;
        let bytes = serde_json::to_vec(&body).expect("wire types have string keys only");
        json(status, bytes)
    }
}

/// A response of bytes that are JSON already.
pub(crate) fn json(status: StatusCode, bytes: impl Into<Body>) -> Response {
    let mut response = (status, bytes.into()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
