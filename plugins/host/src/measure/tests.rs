use super::*;

/// What a recorder let go of is asked for again.
#[test]
fn metrics_are_looked_up_again_after_a_while_and_not_each_time() {
    let (metrics, now) = (PluginMetrics::of(Digest([1; 32])), Instant::now());
    let first = metrics.gauges(now);
    assert!(Arc::ptr_eq(&first, &metrics.gauges(now + LOOKED_UP_FOR / 2)));
    assert!(!Arc::ptr_eq(&first, &metrics.gauges(now + LOOKED_UP_FOR)));
}
