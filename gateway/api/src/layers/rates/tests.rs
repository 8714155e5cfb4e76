use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use gateway_domain::{
    mac::{MacKey, MacKeys},
    ports::RateCounts,
    rates::{Allowance, RateBucket, RatePlaces},
};

use super::*;
use crate::failure::Failure;

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

/// A database that others use too, and its rates.
struct Database {
    allowance: Option<Allowance>,
    asked: AtomicUsize,
}

#[async_trait]
impl RateCounts for Database {
    async fn take(&self, _: &RateBucket) -> gateway_domain::Result<Allowance> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.allowance.ok_or_else(|| gateway_domain::Error::unavailable("database", "away"))
    }
}

fn failures(allowance: Option<Allowance>) -> (SharedRate<IpAddr>, Arc<Database>) {
    let database = Arc::new(Database { allowance, asked: AtomicUsize::new(0) });
    let keys = MacKeys::new(BTreeMap::from([(1, MacKey::new([1; 32]))]), 1);
    let counting =
        Counting { counts: database.clone(), places: Arc::new(RatePlaces::new(keys)), places_max: 8 };
    let config = RateConfig { failures: Rate { burst: 2, period_ms: HOUR_MS }, ..RateConfig::default() };
    (Rates::new(&config, &counting).failures, database)
}

#[tokio::test]
async fn a_source_waits_after_too_many_failures_and_others_do_not() {
    let (failures, database) = failures(Some(Allowance::Granted));
    for _ in 0..2 {
        failures.take(FAILURES, address(1)).await.unwrap();
    }
    assert!(failures.wait(FAILURES, address(1)).is_none());
    for _ in 0..5 {
        assert!(matches!(failures.take(FAILURES, address(1)).await, Err(Failure::RateLimited { .. })));
    }
    assert!(failures.wait(FAILURES, address(1)).is_some());
    assert_eq!(database.asked.load(Ordering::SeqCst), 2, "this gateway's own bucket is empty");
    failures.take(FAILURES, address(2)).await.unwrap();
    assert!(failures.wait(FAILURES, address(2)).is_none());
}

#[tokio::test]
async fn what_other_gateways_granted_already_is_refused_and_not_asked_for_again() {
    let (failures, database) = failures(Some(Allowance::Exhausted(Duration::from_mins(5))));
    for _ in 0..3 {
        let Err(Failure::RateLimited { retry_after }) = failures.take(FAILURES, address(1)).await else {
            panic!("an exhausted source was let through");
        };
        assert!(retry_after > Duration::from_mins(4));
    }
    assert_eq!(database.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nothing_is_allowed_while_the_database_cannot_count() {
    let (failures, _) = failures(None);
    assert!(matches!(failures.take(FAILURES, address(1)).await, Err(Failure::Domain(_))));
    assert!(failures.wait(FAILURES, address(1)).is_none(), "it may try again at once");
}

#[test]
fn zero_reads_as_one() {
    let rate = KeyedRate::new(Rate { burst: 0, period_ms: 0 }, 8);
    assert!(rate.check(&address(1)).is_ok());
}
