//! T16: what was denied stays denied, however often, at once or cleverly somebody asks again.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use gateway_api::ApiConfig;
use gateway_domain::{
    approvals::Role,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    evaluations::{EvaluationResult, Purpose, Verdict},
    policy::{DenialReason, Mode, PolicyHead, Power},
    ports::Limits,
    transactions::{State, advance},
};
use serde_json::json;

use crate::{
    races::{approvals_of, denied_for, id_of},
    wallet::Wallet,
    world::{FREE_WEI, World, limits, transfer},
};

const STALE: Duration = Duration::from_mins(16);

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_errs_once_in_a_hundred_is_not_asked_a_hundred_times() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    world.plugin.say(Verdict::Reject, "no", 1_000_000);
    let mut denied = 0;
    for value in 1..=100 {
        let reply = world.post("/transactions", &transfer(escrow, value)).key(&world, "admin").send().await;
        denied += u64::from(reply.status == 201);
    }
    assert_eq!((denied, world.plugin.asked("orion")), (5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_at_once_gains_nothing_over_asking_in_turn() {
    const TRIES: u64 = 2;
    let limits = Limits { denied_tries_max: 2, ..limits() };
    let world = World::with_limits(ApiConfig::default(), limits).await;
    let escrow = world.user(&Wallet::new(1)).await;
    let propose =
        |value: u64| world.post("/transactions", &transfer(escrow, value)).key(&world, "admin").send();
    let (mut unkind, mut kind) = (Vec::new(), Vec::new());
    for value in 1..=2 * TRIES {
        let verdict = if value <= TRIES { Verdict::Reject } else { Verdict::Approve };
        let held = world.plugin.hold(verdict);
        let reply = tokio::spawn(propose(value));
        held.entered.await.unwrap();
        if value <= TRIES { &mut unkind } else { &mut kind }.push((reply, held.go_on));
    }
    for (reply, go_on) in unkind {
        go_on.send(()).unwrap();
        assert_eq!(reply.await.unwrap().expect(201)["status"], "REJECTED");
    }
    for (reply, go_on) in kind {
        go_on.send(()).unwrap();
        reply.await.unwrap().expect(429);
    }
    let all = join_all((1..=2).map(propose)).await;
    assert!(all.iter().all(|reply| reply.status == 429));
    assert!(world.token.signed.lock().unwrap().is_empty());
}

/// The denial was made for a vote that lost against another one, whose own evaluation was kinder.
#[tokio::test(flavor = "multi_thread")]
async fn a_denial_outlives_the_lost_change_set_it_was_made_for() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    let pending = world.propose(escrow, FREE_WEI + 1).await;
    world.clock.advance(STALE);
    let vote = json!({"approved": true});
    let held = world.plugin.hold(Verdict::Reject);
    let by_user = world.post(approvals_of(&pending), &vote).signed(&wallet).send();
    let meanwhile = async {
        held.entered.await.unwrap();
        let by_agent = world.post(approvals_of(&pending), &vote).key(&world, "agent").send().await;
        assert_eq!(by_agent.expect(201)["transactionStatus"], "PENDING");
        held.go_on.send(()).unwrap();
    };
    let (by_user, ()) = tokio::join!(by_user, meanwhile);
    assert_eq!(by_user.expect(201)["transactionStatus"], "REJECTED");
    assert_eq!(denied_for(&world.stored(id_of(&pending)).await), Some(DenialReason::Plugin));
    assert_eq!(world.plugin.asked("orion"), 3, "at creation and once for each vote");
}

/// A fresh denial of a replacement keeps its word too: nobody asks again at every look.
#[tokio::test(flavor = "multi_thread")]
async fn a_denied_replacement_is_not_asked_for_again() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    let id = id_of(&world.propose(escrow, 1).await);
    assert!(matches!(world.stored(id).await.state, State::Submitted { .. }));
    world.plugin.say(Verdict::Reject, "no more", 1_000_000);
    world.clock.advance(STALE);
    for _ in 0..5 {
        advance(&world.services, world.organization, id).await.unwrap();
        world.clock.advance(STALE);
    }
    assert_eq!(world.plugin.asked("orion"), 2);
    assert_eq!(world.token.signed.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_demanded_at_creation_is_frozen_with_the_transaction() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    world.plugin.say(Verdict::NeedApprovals(vec![(Role::Agent, 1)]), "ask the agent", 950_000);
    let pending = world.propose(escrow, 1).await;
    let snapshot = world.stored(id_of(&pending)).await.snapshot;
    assert!(snapshot.requirements.iter().any(|demand| demand.role == Role::Agent && demand.count == 1));

    world.plugin.say(Verdict::Approve, "never mind", 950_000);
    world.clock.advance(STALE);
    let vote = json!({"approved": true});
    let by_user = world.post(approvals_of(&pending), &vote).signed(&wallet).send().await.expect(201);
    assert_eq!(by_user["transactionStatus"], "PENDING");
    let by_agent = world.post(approvals_of(&pending), &vote).key(&world, "agent").send().await.expect(201);
    assert_eq!(by_agent["transactionStatus"], "APPROVED");
}

async fn reverse_bindings(world: &World) {
    let mut policy = world.services.store.policy(world.organization).await.unwrap().unwrap().into_value();
    policy.revision += 1;
    policy.bindings.reverse();
    let head = PolicyHead { organization: world.organization, revision: policy.revision };
    let event = AuditEvent::new(&world.ctx(), "policy.changed", "the order".to_owned(), json!({}));
    let sealer = &world.services.sealer;
    let changes = ChangeSet::new(event)
        .write(Write::InsertPolicy(sealer.seal(policy)))
        .write(Write::MovePolicyHead(sealer.seal(head)));
    world.services.store.commit(changes).await.unwrap();
}

/// Bindings are asked all at once: each one's word is kept, and the first of the policy says why, whoever was quicker.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_deny_the_first_of_the_policy_says_why_and_both_are_recorded() {
    let world = World::new().await;
    let escrow = world.user(&Wallet::new(1)).await;
    world.bind("gate", Mode::Enforce, Power::Gate).await;
    world.plugin.say(Verdict::Reject, "no", 1_000_000);
    let denied = world.propose(escrow, 1).await;
    assert_eq!(denied["status"], "REJECTED");
    let id = id_of(&denied);
    let State::Rejected { reason, detail, rejected_by } = world.stored(id).await.state else {
        panic!("{denied}")
    };
    assert_eq!((reason, detail.as_str()), (DenialReason::Plugin, "orion: no"));
    assert_eq!(rejected_by, BTreeSet::from([Role::Orion]));
    let heard = world.services.store.evaluations(world.organization, id).await.unwrap();
    let refused_by = |name: &str| {
        heard.iter().any(|evaluation| {
            evaluation.subject_name == name
                && evaluation.purpose == Purpose::Decision
                && matches!(&evaluation.result, EvaluationResult::Verdict(said) if said.verdict == Verdict::Reject)
        })
    };
    assert!(heard.len() == 2 && refused_by("orion") && refused_by("gate"), "{heard:?}");
    let path = format!("/transactions/{}/approval-status", denied["requestHash"].as_str().unwrap());
    let status = world.get(path).key(&world, "admin").send().await.expect(200);
    assert_eq!((&status["rejectedBy"], &status["orion"]), (&json!(["orion"]), &json!(false)), "{status}");

    // The other way round the gate's word is told, and no role's.
    reverse_bindings(&world).await;
    let denied = world.propose(escrow, 2).await;
    let State::Rejected { detail, rejected_by, .. } = world.stored(id_of(&denied)).await.state else {
        panic!("{denied}")
    };
    assert_eq!((detail.as_str(), rejected_by.len()), ("gate: no", 0));
}
