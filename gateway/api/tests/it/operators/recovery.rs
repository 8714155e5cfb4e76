//! A charter whose operators have lost their keys: new ones after a delay, unless one who is left refuses (T31).

use std::time::Duration;

use gateway_domain::{
    Error,
    founding::FoundCharter,
    ids::ProposalId,
    operators::{Charter, Proposal, begin_recovery, complete_recovery, open_recovery},
};

use super::*;
use crate::wallet::Wallet;

const WEEK: Duration = Duration::from_hours(7 * 24);
const SECOND: Duration = Duration::from_secs(1);
/// One second less than the delay.
const ALMOST: Duration = Duration::from_secs(7 * 86_400 - 1);

impl Deployment {
    fn successors() -> FoundCharter {
        let operators = vec![
            newcomer("Gil", 21, &[AUTHOR]),
            newcomer("Hal", 22, &[APPROVER]),
            newcomer("Ida", 23, &[APPROVER]),
        ];
        FoundCharter { operators, approvals_required: 2 }
    }

    async fn begin(&self) -> gateway_domain::Result<Proposal> {
        let reason = "all three lost their keys in the fire".to_owned();
        begin_recovery(&self.world.ctx(), &self.world.services, Self::successors(), reason).await
    }

    async fn complete(&self, id: ProposalId) -> gateway_domain::Result<Charter> {
        complete_recovery(&self.world.ctx(), &self.world.services, id).await
    }

    async fn shown(&self, id: ProposalId) -> Value {
        self.get(&self.dee, &format!("/operator/v1/proposals/{id}")).await.1
    }
}

#[track_caller]
fn assert_conflict<T: std::fmt::Debug>(outcome: gateway_domain::Result<T>, rule: &str) {
    match outcome {
        Err(Error::Conflict(text)) => assert!(text.contains(rule), "{rule}: {text}"),
        other => panic!("{rule}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_charter_is_recovered_after_its_delay_and_the_old_keys_are_no_more() {
    let deployment = Deployment::new().await;
    let world = &deployment.world;
    let escrow = world.user(&Wallet::new(1)).await;
    world.clock.stop();
    let begun = deployment.begin().await.unwrap();
    assert_conflict(deployment.begin().await, "a recovery is open already");
    // Everybody sees it, whoever is left.
    let shown = deployment.shown(begun.id).await;
    assert_eq!((&shown["state"], &shown["change"]["kind"]), (&json!("open"), &json!("recovery")), "{shown}");
    assert_eq!(open_recovery(&world.services, world.ctx().now).await.unwrap().unwrap().id, begun.id);
    for passed in [Duration::ZERO, ALMOST] {
        world.clock.advance(passed);
        assert_conflict(deployment.complete(begun.id).await, "not over");
    }
    world.clock.advance(SECOND);
    let charter = deployment.complete(begun.id).await.unwrap();
    let active: Vec<_> =
        charter.operators.iter().filter(|one| one.is_active()).map(|one| one.name.as_str()).collect();
    assert_eq!((active, charter.operators.len()), (vec!["Gil", "Hal", "Ida"], 7));
    assert_conflict(deployment.complete(begun.id).await, "was refused, completed, or has expired");

    // The old keys open nothing, and what they signed for judges nothing.
    let path = "/operator/v1/charter";
    assert_eq!(deployment.get(&deployment.ann, path).await.0, 401);
    assert_eq!(world.propose(escrow, 1).await["status"], "REJECTED");
    let hal = Person { key: key(22), id: named(&charter, "Hal") };
    assert_eq!(deployment.get(&hal, path).await.0, 200);
    let past = deployment.get(&hal, &format!("/operator/v1/proposals/{}", begun.id)).await.1;
    assert_eq!(past["state"], "carried", "{past}");
    assert!(open_recovery(&world.services, world.ctx().now).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_operator_who_is_left_refuses_a_recovery_and_nobody_approves_one() {
    let deployment = Deployment::new().await;
    let begun = deployment.begin().await.unwrap();
    let shown = deployment.shown(begun.id).await;
    for who in [&deployment.bob, &deployment.cy] {
        assert_eq!(deployment.say(who, &shown, "approve").await.0, 409);
    }
    assert_eq!(deployment.say(&deployment.dee, &shown, "refuse").await.0, 403);
    assert_eq!(deployment.say(&deployment.cy, &shown, "refuse").await.1["state"], "refused");
    deployment.world.clock.advance(WEEK);
    assert_conflict(deployment.complete(begun.id).await, "was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charter_that_could_be_changed_was_not_lost() {
    let deployment = Deployment::new().await;
    let begun = deployment.begin().await.unwrap();
    deployment.enrolled("Eve", 5, &[APPROVER]).await;
    deployment.world.clock.advance(WEEK);
    assert_conflict(deployment.complete(begun.id).await, "moved on");
    // It stands in nobody's way, and is nobody's alarm.
    let world = &deployment.world;
    assert!(open_recovery(&world.services, world.ctx().now).await.unwrap().is_none());
    let second = deployment.begin().await.unwrap();
    assert_conflict(deployment.begin().await, "a recovery is open already");
    assert_conflict(deployment.complete(begun.id).await, "moved on");
    deployment.world.clock.advance(WEEK);
    assert_conflict(deployment.complete(begun.id).await, "has expired");
    deployment.complete(second.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_is_never_proposed_and_never_anybodys_at_a_distance() {
    let deployment = Deployment::new().await;
    let begun = deployment.begin().await.unwrap();
    let mut change = deployment.shown(begun.id).await["change"].clone();
    change["not_before"] = json!(0);
    let body = json!({"change": change, "reason": "mine"});
    let (status, problem) = deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("not proposed"), "{problem}");
    let by_ann = deployment.call_of(&deployment.ann, &[AUTHOR, APPROVER]);
    let services = &deployment.world.services;
    let begun = begin_recovery(&by_ann, services, Deployment::successors(), "x".to_owned()).await;
    assert!(matches!(begun, Err(Error::Forbidden(_))), "{begun:?}");
    let few = FoundCharter { approvals_required: 3, ..Deployment::successors() };
    let begun = begin_recovery(&deployment.world.ctx(), services, few, "x".to_owned()).await;
    assert!(matches!(begun, Err(Error::Conflict(_))), "one is open: {begun:?}");
}
