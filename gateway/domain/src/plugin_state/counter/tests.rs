use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const HOUR: u32 = 3600;

fn hourly() -> CounterName {
    CounterName { name: "sent".to_owned(), window_seconds: HOUR }
}

fn transaction(number: u128) -> TransactionId {
    TransactionId::from_uuid(Uuid::from_u128(number))
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_800_000_000_000_000 + second * 1_000_000)
}

fn holding(amounts: &[(u128, u64)]) -> Counter {
    let held = amounts.iter().map(|(number, amount)| (transaction(*number), U256::from(*amount)));
    Counter { held: held.collect(), ..Counter::default() }
}

fn fates(fates: &[(u128, Fate)]) -> BTreeMap<TransactionId, Fate> {
    fates.iter().map(|(number, fate)| (transaction(*number), *fate)).collect()
}

#[test]
fn a_transaction_does_not_count_against_itself() {
    let counter = holding(&[(1, 5), (2, 7)]);
    assert_eq!(counter.others(transaction(1)), U256::from(7));
    assert_eq!(counter.others(transaction(3)), U256::from(12));
}

#[test]
fn what_may_still_be_signed_counts_however_old_it_is() {
    let counter = holding(&[(1, 5)]).settled(&hourly(), &fates(&[(1, Fate::Open)]), second(10_000_000));
    assert_eq!(counter.others(transaction(2)), U256::from(5));
}

#[test]
fn what_ended_unsigned_is_released() {
    let counter = holding(&[(1, 5), (2, 7)]).settled(&hourly(), &fates(&[(1, Fate::Unsigned)]), second(0));
    assert_eq!(counter, holding(&[(2, 7)]));
}

#[test]
fn what_was_signed_counts_for_the_window_and_at_most_a_step_more() {
    let signed = fates(&[(1, Fate::Signed(second(0)))]);
    let counter = holding(&[(1, 5)]).settled(&hourly(), &signed, second(1));
    let at = |now| counter.clone().settled(&hourly(), &BTreeMap::new(), second(now)).others(transaction(2));
    assert_eq!(at(3599), U256::from(5));
    assert_eq!(at(3600 + 57), U256::ZERO);
}

#[test]
fn a_signature_from_the_future_counts_from_now() {
    let signed = fates(&[(1, Fate::Signed(second(1_000_000)))]);
    let counter = holding(&[(1, 5)]).settled(&hourly(), &signed, second(0));
    assert_eq!(counter.others(transaction(2)), U256::from(5));
    assert_eq!(counter.settled(&hourly(), &BTreeMap::new(), second(4000)), Counter::default());
}

#[test]
fn sums_never_wrap() {
    let mut counter = holding(&[(1, 5)]);
    counter.held.insert(transaction(2), U256::MAX);
    assert_eq!(counter.others(transaction(3)), U256::MAX);
}

#[test]
fn a_counter_reads_from_its_own_json() {
    let counter =
        holding(&[(1, 5), (2, 7)]).settled(&hourly(), &fates(&[(1, Fate::Signed(second(0)))]), second(0));
    let entry = crate::plugin_state::Entry::Counter(counter);
    let json = serde_json::to_string(&entry).unwrap();
    assert_eq!(serde_json::from_str::<crate::plugin_state::Entry>(&json).unwrap(), entry);
}

proptest! {
    /// Against a ledger that keeps every signature: never less than the window holds, never more than a step more.
    #[test]
    fn the_sum_covers_the_window_and_little_else(
        window in 1..100_000_u32,
        signatures in prop::collection::vec((0..200_000_i64, 1..1000_u64), 1..40),
        looks in prop::collection::vec(0..300_000_i64, 1..10),
    ) {
        let name = CounterName { name: "sent".to_owned(), window_seconds: window };
        let mut events: Vec<(i64, Option<u64>)> =
            signatures.iter().map(|(at, amount)| (*at, Some(*amount))).collect();
        events.extend(looks.iter().map(|at| (*at, None)));
        events.sort_unstable();
        let (mut counter, mut ledger) = (Counter::default(), Vec::new());
        for (index, (at, amount)) in events.into_iter().enumerate() {
            let now = second(at);
            if let Some(amount) = amount {
                let id = index as u128 + 1;
                counter.held.insert(transaction(id), U256::from(amount));
                counter = counter.settled(&name, &fates(&[(id, Fate::Signed(now))]), now);
                ledger.push((at, amount));
            } else {
                counter = counter.settled(&name, &BTreeMap::new(), now);
            }
            // Ages in 64ths of a second, to compare with a window and a step exactly.
            let since = |age_max: i64| -> u64 {
                let newer = |(then, _): &&(i64, u64)| (at - *then) * 64 <= age_max;
                ledger.iter().filter(newer).map(|(_, amount)| amount).sum()
            };
            let (least, most) = (since(i64::from(window) * 64 - 1), since(i64::from(window) * 65));
            let sum = counter.others(transaction(0));
            prop_assert!(U256::from(least) <= sum && sum <= U256::from(most), "{least} <= {sum} <= {most}");
            prop_assert!(counter.signed.len() <= 66);
        }
    }
}
