//! Metrics, all named `countersign_hsm_*`; labels come from closed lists.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::{error::HsmError, lanes::Lane, status::State};

pub(crate) fn operation(name: &'static str, took: Duration, error: Option<&HsmError>) {
    let outcome = error.map_or("ok", |error| error.class().name());
    counter!("countersign_hsm_operations_total", "operation" => name, "outcome" => outcome).increment(1);
    histogram!("countersign_hsm_operation_seconds", "operation" => name).record(took.as_secs_f64());
}

pub(crate) fn state(state: State) {
    gauge!("countersign_hsm_state").set(f64::from(state as u8));
}

pub(crate) fn queue_depths(depths: [(Lane, usize); 5]) {
    for (lane, depth) in depths {
        #[expect(clippy::cast_precision_loss, reason = "queue depths are far below 2^52")]
        gauge!("countersign_hsm_queue_depth", "lane" => lane.name()).set(depth as f64);
    }
}

pub(crate) fn recovery(rung: &'static str) {
    counter!("countersign_hsm_recoveries_total", "rung" => rung).increment(1);
}
