//! A panic is logged with its place. A message made of values may hold a secret, so only messages that stand in the
//! program's text are shown.

use std::{any::Any, panic};

pub(super) fn install_hook() {
    panic::set_hook(Box::new(|information| {
        let thread = std::thread::current();
        let place = information.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            thread = thread.name().unwrap_or("unnamed"),
            place,
            message = message(information.payload()),
            "panic"
        );
    }));
}

/// A payload made by formatting is a `String`.
pub(super) fn message(payload: &dyn Any) -> &str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("a formatted message, withheld")
}
