//! Panics reach the evaluation's log: the trap that follows carries no message.

use std::panic::{PanicHookInfo, set_hook};

use crate::log::{Level, write};

pub(crate) fn log_panics() {
    set_hook(Box::new(report));
}

fn report(panic: &PanicHookInfo<'_>) {
    write(Level::Error, &panic.to_string());
}
