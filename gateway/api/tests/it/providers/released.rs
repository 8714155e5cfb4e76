//! What somebody else executes is released by its approval: it rests on everything that a permit would rest on.

use std::time::Duration;

use gateway_domain::{
    credentials::revoke_api_key,
    evaluations::Verdict,
    policy::{Mode, Power},
    transactions::{Provider, State},
};

use super::scene::Scene;
use crate::world::FREE_WEI;

/// After so long a plugin is asked again.
const STALE: Duration = Duration::from_mins(16);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_approved_while_the_organization_is_frozen() {
    for scene in [Scene::new(Provider::None).await, Scene::elsewhere().await] {
        let waiting = scene.propose(FREE_WEI + 1).await.expect(201);
        assert_eq!(waiting["status"], "PENDING");
        scene.freeze(true).await;
        let refused = scene.propose(1).await;
        refused.expect(409);
        assert!(refused.message().contains("the organization is frozen"), "{}", refused.message());
        // What still needs somebody is taken, and their last word is not.
        let path = format!("/transactions/{}/approvals", waiting["requestHash"].as_str().unwrap());
        let vote = |key| {
            scene.world.post(path.clone(), &serde_json::json!({"approved": true})).key(&scene.world, key)
        };
        vote("agent").send().await.expect(201);
        let last =
            scene.world.post(path.clone(), &serde_json::json!({"approved": true})).signed(&scene.wallet);
        let refused = last.send().await;
        refused.expect(409);
        assert!(refused.message().contains("the organization is frozen"), "{}", refused.message());
        assert_eq!(scene.stored(waiting["requestHash"].as_str().unwrap()).await.state, State::Pending);

        scene.freeze(false).await;
        assert_eq!(scene.propose(1).await.expect(201)["status"], "APPROVED");
        let last =
            scene.world.post(path.clone(), &serde_json::json!({"approved": true})).signed(&scene.wallet);
        last.send().await.expect(201);
        assert_eq!(scene.stored(waiting["requestHash"].as_str().unwrap()).await.state, State::Approved);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_made_while_a_plugin_thinks_is_asked_as_well() {
    let scene = Scene::elsewhere().await;
    let held = scene.world.plugin.hold(Verdict::Approve);
    let change = async {
        held.entered.await.unwrap();
        scene.world.bind("deny", Mode::Enforce, Power::Gate).await;
        scene.world.plugin.say(Verdict::Reject, "nothing leaves today", 1_000_000);
        held.go_on.send(()).unwrap();
    };
    let (proposed, ()) = tokio::join!(scene.propose(1), change);
    assert_eq!(proposed.expect(201)["status"], "REJECTED");
    assert_eq!(scene.world.plugin.asked("deny"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_revoked_while_a_plugin_thinks_does_not_count() {
    let scene = Scene::elsewhere().await;
    let waiting = scene.propose(FREE_WEI + 1).await.expect(201);
    let hash = waiting["requestHash"].as_str().unwrap();
    let path = format!("/transactions/{hash}/approvals");
    let vote = serde_json::json!({"approved": true});
    scene.world.post(path.clone(), &vote).key(&scene.world, "agent").send().await.expect(201);
    scene.world.clock.advance(STALE);
    let held = scene.world.plugin.hold(Verdict::Approve);
    let revocation = async {
        held.entered.await.unwrap();
        let agent = scene.world.key_ids["agent"];
        revoke_api_key(&scene.ctx(), &scene.world.services, agent).await.unwrap();
        held.go_on.send(()).unwrap();
    };
    let last = scene.world.post(path, &vote).signed(&scene.wallet);
    let (_, ()) = tokio::join!(last.send(), revocation);
    assert_eq!(scene.stored(hash).await.state, State::Pending);
}
