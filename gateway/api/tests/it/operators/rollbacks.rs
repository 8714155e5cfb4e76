//! Going back to an earlier policy: at once by one where only revisions differ, by the quorum where anything else does.

use std::{cell::Cell, collections::BTreeMap, time::Duration};

use gateway_domain::{
    Error, OpCtx,
    actor::Actor,
    evaluations::EvaluationResult,
    operators::{Change, OperatorActor, Propose, roll_back_policy},
};

use super::{plugins::binding, *};
use crate::{races::id_of, wallet::Wallet};

const HOUR: Duration = Duration::from_hours(1);
/// A second less.
const ALMOST: Duration = Duration::from_secs(3_599);

impl Deployment {
    async fn roll_back(&self, who: &Person, to: u64) -> (u16, Value) {
        let organization = self.world.organization;
        let path = format!("/operator/v1/organizations/{organization}/policies/{to}/rollback");
        self.post(who, &path, &json!({"reason": "it refuses payroll"})).await
    }

    /// Stores a revision of the plugin with these settings.
    async fn velocity(&self, settings: &str) -> Value {
        let mut body = self.ann.upload(&self.world, "velocity");
        let digest = B256::new(Sha256::digest("component velocity").into());
        let subject = subject_digest(digest, settings, &BTreeSet::from(["log".to_owned()]));
        body["settings"] = json!(settings);
        body["signature"] = json!(self.ann.signature(&self.world, "velocity", subject));
        let (status, stored) = self.upload(&self.ann, &body).await;
        assert_eq!(status, 201, "{stored}");
        stored
    }

    /// A quorum enforces the revision beside Orion, in the place of another of its plugin. Answers the policy's number.
    async fn enforced(&self, stored: &Value) -> u64 {
        let mut change = self.next_policy().await;
        let bindings = change["bindings"].as_array_mut().unwrap();
        bindings.truncate(1);
        bindings.push(binding(stored, "enforce"));
        self.carried(&change).await;
        self.policy_revision().await
    }

    async fn policy_at(&self, revision: u64) -> Value {
        let organization = self.world.organization;
        let path = format!("/operator/v1/organizations/{organization}/policies/{revision}");
        self.get(&self.dee, &path).await.1
    }
}

#[track_caller]
fn assert_refused(answer: &(u16, Value), status: u16, rule: &str) {
    assert_eq!(answer.0, status, "{}", answer.1);
    assert!(answer.1["detail"].as_str().unwrap().contains(rule), "{rule}: {}", answer.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approver_goes_back_at_once_where_only_a_revision_differs() {
    let deployment = Deployment::new().await;
    let first = deployment.enforced(&deployment.velocity("\"first\"").await).await;
    let second = deployment.enforced(&deployment.velocity("\"second\"").await).await;
    assert_refused(&deployment.roll_back(&deployment.dee, first).await, 403, "an auditor only reads");

    let (status, back) = deployment.roll_back(&deployment.bob, first).await;
    assert_eq!((status, &back["atOnce"]), (201, &json!(true)), "{back}");
    assert_eq!(back.get("obstacle"), None);
    assert_eq!(back["proposal"]["state"], "carried_at_once");
    assert_eq!(back["proposal"]["approvals"][0]["operator"], deployment.bob.id.to_string());
    assert_eq!(deployment.policy_revision().await, second + 1);
    let (before, now) = (deployment.policy_at(first).await, deployment.policy_at(second + 1).await);
    assert_eq!(now["bindings"], before["bindings"], "with the bindings' ids their memory goes on");
    assert_eq!(now["carried"]["proposer"], deployment.bob.id.to_string());
    assert_eq!(now["carried"]["reason"], "it refuses payroll");
    let escrow = deployment.world.user(&Wallet::new(1)).await;
    assert_eq!(deployment.analyses(escrow).await["velocity"], "\"first\"");

    // Forward again, and what is no earlier policy at all, is not going back.
    assert_refused(&deployment.roll_back(&deployment.bob, second).await, 403, "no earlier one");
    for (to, status) in [(second + 1, 400), (second + 9, 404), (u64::MAX, 404)] {
        assert_eq!(deployment.roll_back(&deployment.bob, to).await.0, status, "{to}");
    }
    // An author's wish becomes a proposal, and the answer says why.
    let (status, forward) = deployment.roll_back(&deployment.ann, second).await;
    assert_eq!((status, &forward["atOnce"]), (201, &json!(false)), "{forward}");
    assert!(forward["obstacle"].as_str().unwrap().contains("no earlier one"), "{forward}");
    let proposal = &forward["proposal"];
    assert_eq!(proposal["state"], "open");
    assert_eq!(deployment.policy_revision().await, second + 1, "nothing moved");
    assert_eq!(deployment.say(&deployment.bob, proposal, "approve").await.0, 200);
    assert_eq!(deployment.say(&deployment.cy, proposal, "approve").await.1["state"], "carried");
    assert_eq!(deployment.analyses(escrow).await["velocity"], "\"second\"");
}

impl Deployment {
    /// What each plugin said about a transfer.
    async fn analyses(&self, escrow: Address) -> BTreeMap<String, String> {
        let proposed = self.world.propose(escrow, 1).await;
        let store = &self.world.services.store;
        let stored = store.evaluations(self.world.organization, id_of(&proposed)).await.unwrap();
        let said = stored.iter().map(|evaluation| match &evaluation.result {
            EvaluationResult::Verdict(outcome) => (evaluation.subject_name.clone(), outcome.analysis.clone()),
            failed @ EvaluationResult::Failure { .. } => panic!("{failed:?}"),
        });
        said.collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_more_than_revisions_differs_going_back_takes_the_quorum() {
    let deployment = Deployment::new().await;
    let stored = deployment.velocity("\"first\"").await;
    let first = deployment.enforced(&stored).await;
    let whole = deployment.next_policy().await;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut next = whole.clone();
        change(&mut next);
        next
    };
    let bindings = "enforces other plugins";
    for (mut next, rule) in [
        (changed(&|next| next["floor"]["minimum_confidence_ppm"] = json!(1)), "another floor"),
        (changed(&|next| next["floor"]["vote_age_max_seconds"] = json!(60)), "another floor"),
        (changed(&|next| next["bindings"].as_array_mut().unwrap().swap(0, 1)), bindings),
        (changed(&|next| drop(next["bindings"].as_array_mut().unwrap().pop())), bindings),
        (changed(&|next| next["bindings"][1]["mode"] = json!("shadow")), bindings),
        (changed(&|next| next["bindings"][1]["power"] = json!({"authority": "risk"})), bindings),
        (changed(&|next| next["bindings"][1]["scope"]["chains"] = json!(["eip155:31337"])), bindings),
    ] {
        let present = deployment.policy_revision().await;
        next["replaces"] = json!(present);
        deployment.carried(&next).await;
        // Whoever asks, alone nobody moves anything.
        assert_refused(&deployment.roll_back(&deployment.bob, present).await, 403, rule);
        let (status, proposed) = deployment.roll_back(&deployment.ann, present).await;
        assert_eq!((status, &proposed["atOnce"]), (201, &json!(false)), "{proposed}");
        assert!(proposed["obstacle"].as_str().unwrap().contains(rule), "{proposed}");
        assert_eq!(deployment.policy_revision().await, present + 1);
        // By the quorum it goes.
        for who in [&deployment.bob, &deployment.cy] {
            assert_eq!(deployment.say(who, &proposed["proposal"], "approve").await.0, 200);
        }
    }
    assert_eq!(deployment.policy_at(first).await["floor"], whole["floor"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_while_nothing_that_a_quorum_replaced_comes_back_by_one() {
    let deployment = Deployment::with_limits(Limits { rollback_window: HOUR, ..limits() }).await;
    deployment.world.clock.stop();
    let mut numbers = Vec::new();
    for settings in ["1", "2", "3", "4"] {
        numbers.push(deployment.enforced(&deployment.velocity(settings).await).await);
    }
    let [oldest, older, last, replaced] = numbers[..] else { panic!("{numbers:?}") };
    assert_eq!(deployment.roll_back(&deployment.bob, older).await.0, 201, "within the window");
    assert_eq!(deployment.roll_back(&deployment.cy, oldest).await.0, 201);
    // What one brought back for a moment is not thereby kept within reach.
    let newest = deployment.enforced(&deployment.velocity("5").await).await;
    assert_refused(&deployment.roll_back(&deployment.bob, newest - 1).await, 403, "no quorum carried");
    deployment.world.clock.advance(ALMOST);
    let (status, back) = deployment.roll_back(&deployment.bob, replaced).await;
    assert_eq!((status, &back["atOnce"]), (201, &json!(true)), "{back}");
    assert_refused(&deployment.roll_back(&deployment.bob, newest).await, 403, "no earlier one");
    deployment.world.clock.advance(Duration::from_secs(2));
    for to in [oldest, older, last] {
        assert_refused(&deployment.roll_back(&deployment.bob, to).await, 403, "replaced longer ago");
    }
}

/// A successor that ran in the shade before it was enforced is staged as ours is meant to be.
#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_came_and_went_does_not_stand_in_the_way() {
    let deployment = Deployment::new().await;
    let stored = [deployment.velocity("\"first\"").await, deployment.velocity("\"second\"").await];
    let alone = deployment.enforced(&stored[0]).await;
    let mut staged = deployment.next_policy().await;
    staged["bindings"].as_array_mut().unwrap().push(binding(&stored[1], "shadow"));
    deployment.carried(&staged).await;
    let beside = deployment.policy_revision().await;
    let replaced = deployment.enforced(&stored[1]).await;
    for (to, enforced) in [(beside, 3), (alone, 2)] {
        let (status, back) = deployment.roll_back(&deployment.bob, to).await;
        assert_eq!((status, &back["atOnce"]), (201, &json!(true)), "{back}");
        let now = deployment.policy_at(deployment.policy_revision().await).await;
        assert_eq!(now["bindings"].as_array().unwrap().len(), enforced, "{now}");
        assert_eq!(now["bindings"], deployment.policy_at(to).await["bindings"]);
    }
    assert_refused(&deployment.roll_back(&deployment.bob, replaced).await, 403, "no earlier one");
}

/// What one brings back differs in revisions alone from what it replaced, whatever a quorum changed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn who_goes_back_while_a_quorum_changes_the_floor_undoes_the_revision_alone() {
    let deployment = Deployment::new().await;
    let stored = [deployment.velocity("\"first\"").await, deployment.velocity("\"second\"").await];
    for age in (60..).take(12) {
        let first = deployment.enforced(&stored[0]).await;
        let second = deployment.enforced(&stored[1]).await;
        let mut change = deployment.next_policy().await;
        change["floor"]["vote_age_max_seconds"] = json!(age);
        let proposal = deployment.propose(&change).await;
        assert_eq!(deployment.say(&deployment.cy, &proposal, "approve").await.0, 200);
        let (back, approved) = tokio::join!(
            deployment.roll_back(&deployment.bob, first),
            deployment.say(&deployment.bob, &proposal, "approve"),
        );
        // One of them was first; the other found another policy than it was meant for.
        let outcome = (back.0, approved.0);
        assert!(matches!(outcome, (201, 409) | (403 | 409, 200)), "{back:?} {approved:?}");
        let (before, after) = (deployment.policy_at(second).await, deployment.policy_at(second + 1).await);
        assert_eq!(before["floor"] == after["floor"], outcome.0 == 201, "{before} {after}");
        assert_eq!(deployment.policy_revision().await, second + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_comes_back_by_nobody() {
    let deployment = Deployment::new().await;
    let stored = deployment.velocity("\"first\"").await;
    let first = deployment.enforced(&stored).await;
    deployment.enforced(&deployment.velocity("\"second\"").await).await;
    assert_eq!(deployment.revoke(&deployment.cy, stored["id"].as_str().unwrap()).await.0, 200);
    for who in [&deployment.bob, &deployment.ann] {
        assert_refused(&deployment.roll_back(who, first).await, 400, "it was revoked");
    }
}

/// A thief of two keys carries a policy, is put out and the policy replaced: a third does not bring it back.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_by_a_quorum_that_is_none_any_more_takes_a_new_one() {
    let deployment = Deployment::new().await;
    let eve = deployment.enrolled("Eve", 5, &[APPROVER]).await;
    let first = deployment.enforced(&deployment.velocity("\"first\"").await).await;
    deployment.enforced(&deployment.velocity("\"second\"").await).await;
    assert_eq!(deployment.dismiss(&eve, &deployment.cy).await.0, 200);
    assert_refused(&deployment.roll_back(&deployment.bob, first).await, 403, "would be none today");
    let unproposed = first - 1;
    assert_refused(&deployment.roll_back(&deployment.bob, unproposed).await, 403, "no quorum carried");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_revoked_between_proof_and_commit_brings_nothing_back() {
    let deployment = Deployment::new().await;
    deployment.enrolled("Eve", 5, &[APPROVER]).await;
    let first = deployment.enforced(&deployment.velocity("\"first\"").await).await;
    let second = deployment.enforced(&deployment.velocity("\"second\"").await).await;
    let roles = BTreeSet::from([APPROVER]);
    let actor = OperatorActor { operator: deployment.cy.id, roles, evidence: "a.b.c".to_owned() };
    let taken = OpCtx { actor: Actor::Operator(actor), ..deployment.world.ctx() };
    assert_eq!(deployment.dismiss(&deployment.bob, &deployment.cy).await.0, 200);
    let change = Change::PolicyRollback { to: first, policy: None };
    let request = Propose { change, reason: "late".to_owned(), lifetime: HOUR };
    let late = roll_back_policy(&taken, &deployment.world.services, first, request).await;
    assert!(matches!(late, Err(Error::Forbidden(_))), "{late:?}");
    assert_eq!(deployment.policy_revision().await, second);
}

/// While requests are judged, policies go to and fro: none fails, and each is judged by one policy, wholly.
#[tokio::test(flavor = "multi_thread")]
async fn going_back_while_requests_are_judged_fails_none_and_mixes_none() {
    let deployment = Deployment::new().await;
    let escrow = deployment.world.user(&Wallet::new(1)).await;
    let stored = [deployment.velocity("\"odd\"").await, deployment.velocity("\"even\"").await];
    let first = deployment.enforced(&stored[0]).await;
    let (done, judged) = (Cell::new(false), Cell::new(0_u32));
    let moves = async {
        let mut back = first;
        for _ in 0..20 {
            deployment.enforced(&stored[1]).await;
            let (status, answer) = deployment.roll_back(&deployment.bob, back).await;
            assert_eq!((status, &answer["atOnce"]), (201, &json!(true)), "{answer}");
            back = deployment.enforced(&stored[0]).await;
        }
        done.set(true);
    };
    let request = async || {
        while !done.get() {
            let proposed = deployment.world.propose(escrow, 1).await;
            assert_ne!(proposed["status"], "REJECTED", "{proposed}");
            let store = &deployment.world.services.store;
            let organization = deployment.world.organization;
            for evaluation in store.evaluations(organization, id_of(&proposed)).await.unwrap() {
                let policy = store.policy_revision(organization, evaluation.policy_revision).await.unwrap();
                let policy = policy.unwrap();
                let is_bound = |one: &&gateway_domain::policy::Binding| one.plugin == evaluation.subject_name;
                let bound = policy.bindings.iter().find(is_bound).unwrap();
                assert_eq!(evaluation.subject_digest, bound.subject_digest);
            }
            judged.set(judged.get() + 1);
        }
    };
    tokio::join!(moves, request(), request());
    assert!(judged.get() > 10, "nobody was judged meanwhile");
    deployment.world.idle().await;
}
