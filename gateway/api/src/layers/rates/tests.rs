use super::*;

const HOUR_MS: u64 = 3_600_000;

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[test]
fn a_burst_passes_and_the_next_waits() {
    let rate = KeyedRate::new(Rate { burst: 2, period_ms: HOUR_MS }, 8);
    assert!(rate.check(&address(1)).is_ok());
    assert!(rate.check(&address(1)).is_ok());
    let wait = rate.check(&address(1)).unwrap_err();
    assert!(wait > Duration::from_mins(29) && wait <= Duration::from_mins(30), "{wait:?}");
    assert!(rate.check(&address(2)).is_ok(), "another key has a bucket of its own");
}

#[test]
fn keys_beyond_the_bound_share_one_bucket() {
    let rate = KeyedRate::new(Rate { burst: 1, period_ms: HOUR_MS }, 2);
    assert!(rate.check(&address(1)).is_ok());
    assert!(rate.check(&address(2)).is_ok());
    assert!(rate.check(&address(3)).is_ok());
    assert!(rate.check(&address(4)).is_err());
    assert_eq!(rate.buckets.len(), 2);
}

#[test]
fn a_source_waits_after_too_many_failures_and_others_do_not() {
    let config = RateConfig { failures: Rate { burst: 2, period_ms: HOUR_MS }, ..RateConfig::default() };
    let failures = Rates::new(&config).failures;
    failures.charge(address(1));
    failures.charge(address(1));
    assert!(failures.wait(address(1)).is_none());
    failures.charge(address(1));
    assert!(failures.wait(address(1)).is_some());
    assert!(failures.wait(address(2)).is_none());
}

#[test]
fn zero_reads_as_one() {
    let rate = KeyedRate::new(Rate { burst: 0, period_ms: 0 }, 8);
    assert!(rate.check(&address(1)).is_ok());
}
