//! Taking operators out of the charter: one may, and not so that nobody could bring it back.

use gateway_domain::{
    Error, OpCtx,
    actor::Actor,
    operators::{OperatorActor, revoke_operator},
};

use super::*;

impl Deployment {
    /// A call of theirs whose proof was taken already.
    pub(super) fn call_of(&self, who: &Person, roles: &[OperatorRole]) -> OpCtx {
        let roles = roles.iter().copied().collect();
        let actor = OperatorActor { operator: who.id, roles, evidence: "a.b.c".to_owned() };
        OpCtx { actor: Actor::Operator(actor), ..self.world.ctx() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_revoked_between_proof_and_commit_revokes_nobody() {
    let deployment = Deployment::new().await;
    deployment.enrolled("Eve", 5, &[APPROVER]).await;
    deployment.enrolled("Fay", 6, &[APPROVER]).await;
    let taken = deployment.call_of(&deployment.bob, &[APPROVER]);
    assert_eq!(deployment.dismiss(&deployment.cy, &deployment.bob).await.0, 200);
    let late = revoke_operator(&taken, &deployment.world.services, deployment.cy.id).await;
    assert!(matches!(late, Err(Error::Unauthenticated)), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_revoke_each_other_at_once_one_stays() {
    let deployment = Deployment::new().await;
    deployment.enrolled("Eve", 5, &[APPROVER]).await;
    deployment.enrolled("Fay", 6, &[APPROVER]).await;
    let services = &deployment.world.services;
    for round in 0..20_u8 {
        let (names, seeds) = ((format!("A{round}"), format!("B{round}")), (100 + 2 * round, 101 + 2 * round));
        let one = deployment.enrolled(&names.0, seeds.0, &[APPROVER]).await;
        let other = deployment.enrolled(&names.1, seeds.1, &[APPROVER]).await;
        let calls = (deployment.call_of(&one, &[APPROVER]), deployment.call_of(&other, &[APPROVER]));
        let answers = tokio::join!(
            revoke_operator(&calls.0, services, other.id),
            revoke_operator(&calls.1, services, one.id),
        );
        assert_ne!(answers.0.is_ok(), answers.1.is_ok(), "{answers:?}");
        let charter = services.store.charter().await.unwrap().unwrap();
        let stay = [one.id, other.id].map(|id| charter.operator(id).unwrap().is_active());
        assert_ne!(stay[0], stay[1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_who_can_carry_a_proposal_are_not_revoked() {
    let deployment = Deployment::new().await;
    for whom in [&deployment.ann, &deployment.cy] {
        let (status, problem) = deployment.dismiss(&deployment.bob, whom).await;
        assert_eq!(status, 409, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("enrol another first"), "{problem}");
    }
    assert_eq!(deployment.dismiss(&deployment.bob, &deployment.dee).await.0, 200, "nobody needs an auditor");
    let eve = deployment.enrolled("Eve", 5, &[AUTHOR, APPROVER]).await;
    assert_eq!(deployment.dismiss(&deployment.bob, &deployment.ann).await.0, 200);
    let (status, problem) = deployment.dismiss(&deployment.bob, &eve).await;
    assert_eq!(status, 409, "{problem}");
}

/// The order of the log is that of the commits: what an approval carried, it carried before the other was revoked.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_somebody_who_is_revoked_at_the_same_time_carries_nothing_afterwards() {
    let deployment = Deployment::new().await;
    let store = &deployment.world.services.store;
    for round in 0..20_u8 {
        let one = deployment.enrolled(&format!("A{round}"), 100 + round, &[APPROVER]).await;
        let proposal = deployment.propose(&deployment.next_policy().await).await;
        assert_eq!(deployment.say(&one, &proposal, "approve").await.0, 200);
        let before = deployment.policy_revision().await;
        let (said, revoked) = tokio::join!(
            deployment.say(&deployment.cy, &proposal, "approve"),
            deployment.dismiss(&deployment.ann, &one),
        );
        assert_eq!((said.0, revoked.0), (200, 200), "{said:?} {revoked:?}");
        let (lane, head) = store.lane_heads().await.unwrap().pop_first().unwrap();
        let entries = store.lane_entries(lane, head.sequence.saturating_sub(20), 20).await.unwrap();
        let last = |action: &str| entries.iter().rev().find(|entry| entry.action == action);
        let revocation = last("operator.revoked").unwrap().sequence;
        let is_carried = said.1["state"] == "carried";
        assert_eq!(deployment.policy_revision().await, before + u64::from(is_carried));
        if is_carried {
            assert!(last("proposal.carried").unwrap().sequence < revocation, "round {round}");
        } else {
            assert_eq!(deployment.say(&deployment.bob, &proposal, "approve").await.1["state"], "carried");
        }
    }
}
