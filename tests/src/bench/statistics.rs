//! Medians and percentiles. Rounds of reference and measurement alternate, because machines drift.

use std::time::Duration;

/// The middle value.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Microseconds that `percent` of the durations do not exceed.
pub(crate) fn percentile_micros(durations: &mut [Duration], percent: usize) -> f64 {
    durations.sort_unstable();
    let rank = (durations.len() * percent / 100).min(durations.len().saturating_sub(1));
    durations.get(rank).map_or(f64::NAN, |duration| micros(*duration))
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Events per second.
pub(crate) fn rate(count: usize, elapsed: Duration) -> f64 {
    number(count) / elapsed.as_secs_f64()
}

/// Microseconds per event.
pub(crate) fn micros_each(spent: Duration, count: usize) -> f64 {
    micros(spent) / number(count)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) fn number(count: usize) -> f64 {
    count as f64
}
