//! What a signed transaction costs, counted: every statement is about 50 us of CPU.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use gateway_domain::{
    changes::Write,
    outbox::OutboxItem,
    policy::PermitRecord,
    transactions::{AttemptOutcome, State},
};
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder,
};
use tokio::runtime::Builder;

use crate::{
    database::Database,
    leases::slow,
    world::{World, hash, now, sample_permit, sample_transaction},
};

/// Begin, the audit entries, the lane's head, commit: shared by all change sets of a group.
const SHARED: u64 = 4;

/// Begin, statements, audit entries and head in one text; the commit in another.
const ROUND_TRIPS: u64 = 2;

#[derive(Default)]
struct Statements {
    count: Arc<AtomicU64>,
    round_trips: Arc<AtomicU64>,
}

/// The store runs on this one thread, so a recorder for this thread sees it and nothing else.
#[test]
fn a_lone_signed_transaction_takes_three_commits_and_nine_statements_of_its_own() {
    let statements = Statements::default();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    with_local_recorder(&statements, || runtime.block_on(signed_path(&statements)));
}

async fn signed_path(statements: &Statements) {
    let database = Database::sqlite();
    let store = slow(&database, 1).await;
    let world = World::founded(&store).await;
    let at = now();

    let created = sample_transaction(&world.user, &world.key, at);
    let evaluation =
        gateway_domain::evaluations::Evaluation { transaction: created.id, ..world.evaluation.clone() };
    let item = OutboxItem::advance(created.organization, created.id, at);
    let create = [
        Write::InsertTransaction(world.seal(&created)),
        Write::InsertEvaluation(world.seal(&evaluation)),
        Write::ScheduleOutbox(item),
    ];
    let approved = created.moved_to(State::Approved, at);
    let attempt = crate::world::sample_attempt(&created, 1, at);
    let permit = PermitRecord { transaction_version: 2, ..sample_permit(&created, &attempt, at) };
    let prepare = [
        Write::UpdateTransaction(world.seal(&approved)),
        Write::InsertAttempt(world.seal(&attempt)),
        Write::InsertPermit(world.seal(&permit)),
    ];
    let signed = approved.moved_to(State::Signed { attempt: attempt.id }, at);
    let outcome = AttemptOutcome::Signed { raw: vec![1; 120], hash: hash() };
    let release = [
        Write::UpdateTransaction(world.seal(&signed)),
        Write::UpdateAttempt(world.seal(&attempt.with_outcome(outcome))),
    ];
    for (writes, own) in [(create.to_vec(), 3), (prepare.to_vec(), 4), (release.to_vec(), 2)] {
        let counts =
            || [&statements.count, &statements.round_trips].map(|count| count.load(Ordering::SeqCst));
        let before = counts();
        world.commit(&store, writes).await.unwrap();
        let after = counts();
        assert_eq!(after[0] - before[0], own + SHARED);
        assert_eq!(after[1] - before[1], ROUND_TRIPS);
    }
    store.close().await;
}

impl Recorder for Statements {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match key.name() {
            "countersign_store_statements_total" => Counter::from_arc(self.count.clone()),
            "countersign_store_round_trips_total" => Counter::from_arc(self.round_trips.clone()),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
