//! Reads on after a refusal. A connection that closes while its client still sends is reset, and the answer that
//! says why is lost with it; so what was refused unread is received and thrown away, within bounds, beside the answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Error,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::header,
};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use tokio::sync::oneshot::{self, Receiver, Sender};

use crate::{config::ApiConfig, layers::Place};

/// What a handler leaves of a request's body.
pub(crate) struct Unread(Option<Receiver<Body>>);

/// A body that is handed back when it is dropped before its end.
struct Watched {
    body: Body,
    /// Whether the client sends without being asked: not before it is told to go on, if it waits for that.
    is_coming: bool,
    has_ended: bool,
    left: Option<Sender<Body>>,
}

impl Unread {
    /// The request with its body watched.
    pub(crate) fn watch(request: Request) -> (Request, Self) {
        if request.body().is_end_stream() {
            return (request, Self(None));
        }
        let is_coming = !request.headers().contains_key(header::EXPECT);
        let (sender, receiver) = oneshot::channel();
        let watch = |body| Watched { body, is_coming, has_ended: false, left: Some(sender) };
        (request.map(|body| Body::new(watch(body))), Self(Some(receiver)))
    }

    /// What is still to come once the request is answered.
    pub(crate) fn rest(self) -> Option<Body> {
        self.0?.try_recv().ok()
    }
}

/// Receives `rest` within the configured length and time. `place` stays taken meanwhile, so that refused bodies cost
/// their source as much as bodies that are read.
pub(crate) async fn discard(rest: Body, config: ApiConfig, place: Place) {
    let mut rest = Limited::new(rest, config.refused_body_bytes_max);
    let receiving = async { while let Some(Ok(_)) = rest.frame().await {} };
    // Beyond either bound the connection ends when `rest` is dropped, after the place is free again.
    let _ = tokio::time::timeout(config.refused_body_timeout(), receiving).await;
    drop(place);
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        this.is_coming = true;
        let frame = Pin::new(&mut this.body).poll_frame(context);
        this.has_ended |= matches!(frame, Poll::Ready(None | Some(Err(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.is_coming || self.has_ended || self.body.is_end_stream() {
            return;
        }
        if let Some(left) = self.left.take() {
            // Nobody wants it when the request was given up as a whole.
            let _ = left.send(std::mem::take(&mut self.body));
        }
    }
}
