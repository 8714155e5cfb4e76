//! Plugin revisions: who stores them, who ends them, and what that does to decisions (T28, T29).

use std::{convert::Infallible, task::Poll, time::Duration};

use axum::body::Bytes;
use gateway_api::Rate;
use gateway_domain::policy::Mode;
use tokio::sync::oneshot;

use super::*;
use crate::wallet::Wallet;

mod revoked;

impl Deployment {
    fn plugins(&self) -> String {
        format!("/operator/v1/organizations/{}/plugins", self.world.organization)
    }

    pub(super) async fn upload(&self, who: &Person, body: &Value) -> (u16, Value) {
        self.post(who, &self.plugins(), body).await
    }

    /// Uploads by Ann, and how the policy would bind it besides.
    pub(super) async fn stored(&self, name: &str) -> Value {
        let (status, stored) = self.upload(&self.ann, &self.ann.upload(&self.world, name)).await;
        assert_eq!(status, 201, "{stored}");
        stored
    }

    pub(super) async fn revoke(&self, who: &Person, id: &str) -> (u16, Value) {
        self.poke(who, &format!("{}/{id}/revoke", self.plugins())).await
    }

    /// The status of a transfer that Orion alone decides about.
    async fn transfer(&self, escrow: Address) -> Value {
        self.world.propose(escrow, 1).await["status"].clone()
    }
}

pub(super) fn binding(stored: &Value, mode: &str) -> Value {
    json!({
        "revision": stored["id"], "subject_digest": stored["subjectDigest"], "mode": mode, "power": "gate",
        "scope": {"kinds": ["transaction"], "chains": [], "keys": []},
    })
}

/// T29: nobody who may not, and nothing that nobody signed for, reaches the compiler.
#[tokio::test(flavor = "multi_thread")]
async fn role_and_signature_are_checked_before_the_component_is_looked_at() {
    let deployment = Deployment::new().await;
    let world = &deployment.world;
    let good = deployment.ann.upload(world, "velocity");
    for (who, rule) in [(&deployment.bob, "author"), (&deployment.dee, "author")] {
        let (status, problem) = deployment.upload(who, &good).await;
        assert_eq!(status, 403, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(rule), "{problem}");
    }
    let mut other_bytes = good.clone();
    other_bytes["component"] = json!(STANDARD.encode("another component"));
    let mut other_settings = good.clone();
    other_settings["settings"] = json!("{ }");
    let mut other_name = good.clone();
    other_name["plugin"] = json!("velocity2");
    let mut more = good.clone();
    more["grants"] = json!(["log", "state"]);
    let mut by_bob = good.clone();
    by_bob["signature"] = deployment.bob.upload(world, "velocity")["signature"].clone();
    let mut forged = good.clone();
    let stranger = Person { key: key(9), id: deployment.ann.id };
    forged["signature"] = stranger.upload(world, "velocity")["signature"].clone();
    for (body, rule) in [
        (&other_bytes, "for another component, other settings (byte for byte) or other grants"),
        (&other_settings, "for another component, other settings (byte for byte) or other grants"),
        (&other_name, "its signature is for another plugin name"),
        (&more, "for another component, other settings (byte for byte) or other grants"),
        (&by_bob, "no author"),
        (&forged, "does not fit its signer's key"),
    ] {
        let (status, problem) = deployment.upload(&deployment.ann, body).await;
        assert_eq!(status, 400, "{rule}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(rule), "{rule}: {problem}");
    }
    let mut unsigned = good.clone();
    unsigned.as_object_mut().unwrap().remove("signature");
    let (status, problem) = deployment.upload(&deployment.ann, &unsigned).await;
    assert_eq!((status, &problem["detail"]), (400, &json!("signature is required")));
    assert_eq!(world.plugin.examined(), 0);

    let stored = deployment.stored("velocity").await;
    assert_eq!(world.plugin.examined(), 1);
    assert_eq!(stored["signedBy"], deployment.ann.id.to_string());
    assert_eq!(stored["uploadedBy"], deployment.ann.id.to_string());
    assert_eq!((&stored["wantedCapabilities"], &stored["grants"]), (&json!(["log"]), &json!(["log"])));
    let digest = B256::new(Sha256::digest("component velocity").into());
    assert_eq!(stored["componentDigest"], digest.to_string());
    let id = stored["id"].as_str().unwrap().parse().unwrap();
    let revision = world.services.store.plugin_revision(world.organization, id).await.unwrap().unwrap();
    assert!(world.services.clock.now().since(revision.created_at) < Duration::from_mins(1));
    assert!(stored["createdAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{stored}");
    let (status, problem) =
        deployment.upload(&deployment.ann, &deployment.ann.upload(world, "\u{202e}velocity")).await;
    assert_eq!(status, 400, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_good_for_one_deployment() {
    let (here, there) = (Deployment::new().await, Deployment::new().await);
    let (status, problem) = here.upload(&here.ann, &there.ann.upload(&there.world, "velocity")).await;
    assert_eq!(status, 400, "{problem}");
    let claims = RevisionClaims {
        origin: "https://elsewhere.example".to_owned(),
        organization: here.world.organization,
        plugin: "velocity".to_owned(),
        subject: subject_digest(B256::new(Sha256::digest("x").into()), "{}", &BTreeSet::new()),
        iat: 1,
    };
    let input = signing_input(here.ann.id, &claims);
    let signature: Signature = here.ann.key.sign(input.as_bytes());
    let body = json!({
        "plugin": "velocity", "component": STANDARD.encode("x"), "settings": "{}", "grants": [],
        "signature": format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())),
    });
    let (status, problem) = here.upload(&here.ann, &body).await;
    assert_eq!(status, 400, "{problem}");
    assert!(
        problem["detail"].as_str().unwrap().contains("but for the origin `https://elsewhere.example`"),
        "{problem}"
    );
}

/// Tells when somebody wants to read it, and never ends.
fn endless() -> (Body, oneshot::Receiver<()>) {
    let (wanted, is_wanted) = oneshot::channel();
    let mut wanted = Some(wanted);
    let stream = futures::stream::poll_fn(move |_| {
        let _ = wanted.take().map(|wanted| wanted.send(()));
        Poll::<Option<Result<http_body::Frame<Bytes>, Infallible>>>::Pending
    });
    (Body::new(http_body_util::StreamBody::new(stream)), is_wanted)
}

impl Deployment {
    /// An upload whose body never ends; what answers it, and when its body is wanted.
    fn endless_upload(
        &self,
        who: Option<&Person>,
    ) -> (impl Future<Output = u16> + Send + use<>, oneshot::Receiver<()>) {
        let path = self.plugins();
        let mut request = Request::post(&path).header("content-type", "application/json");
        if let Some(who) = who {
            let proof = who.proof(&self.world, "POST", &path, b"whatever");
            request = request.header("authorization", format!("Operator {proof}"));
        }
        let (body, is_wanted) = endless();
        let answer = self.router.clone().oneshot(request.body(body).unwrap());
        (async { answer.await.unwrap().status().as_u16() }, is_wanted)
    }
}

/// A body that never ends is no reason to wait for who may not send one.
#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_somebody_without_the_role_is_not_read() {
    let deployment = Deployment::new().await;
    for (who, expected) in [(Some(&deployment.bob), 403), (None, 401)] {
        let (answer, mut is_wanted) = deployment.endless_upload(who);
        assert_eq!(answer.await, expected);
        assert!(is_wanted.try_recv().is_err(), "nobody looked at the body");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_have_places_of_their_own() {
    let uploads = ApiConfig { requests_in_flight_max: 1, ..ApiConfig::default() };
    let deployment = Deployment::with(limits(), ApiConfig::default(), uploads).await;
    let (first, is_wanted) = deployment.endless_upload(Some(&deployment.ann));
    let first = tokio::spawn(first);
    is_wanted.await.unwrap();
    let body = deployment.ann.upload(&deployment.world, "velocity");
    assert_eq!(deployment.upload(&deployment.ann, &body).await.0, 503);
    assert_eq!(deployment.get(&deployment.dee, &deployment.plugins()).await.0, 200, "others go on");
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(deployment.upload(&deployment.ann, &body).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_takes_too_long_is_given_up() {
    let uploads = ApiConfig { request_timeout_ms: 50, ..ApiConfig::default() };
    let deployment = Deployment::with(limits(), ApiConfig::default(), uploads).await;
    let (answer, _is_wanted) = deployment.endless_upload(Some(&deployment.ann));
    assert_eq!(answer.await, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_bounded_in_bytes_apart_from_other_requests() {
    let (common, uploads) = (2_048, 4_096);
    let config = |body_bytes_max| ApiConfig { body_bytes_max, ..ApiConfig::default() };
    let deployment = Deployment::with(limits(), config(common), config(uploads)).await;
    let mut body = deployment.ann.upload(&deployment.world, "velocity");
    for (length, expected) in [(3_000, 400), (5_000, 413)] {
        body["component"] = json!("A".repeat(length));
        assert_eq!(deployment.upload(&deployment.ann, &body).await.0, expected, "{length}");
    }
    let long = json!({"change": {"kind": "thaw"}, "reason": "A".repeat(3_000)});
    assert_eq!(deployment.post(&deployment.ann, "/operator/v1/proposals", &long).await.0, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_the_sandbox_refuses_is_not_stored() {
    let deployment = Deployment::new().await;
    let subject = subject_digest(B256::new(Sha256::digest("broken").into()), "{}", &BTreeSet::new());
    let body = json!({
        "plugin": "velocity", "component": STANDARD.encode("broken"), "settings": "{}", "grants": [],
        "signature": deployment.ann.signature(&deployment.world, "velocity", subject),
    });
    let (status, problem) = deployment.upload(&deployment.ann, &body).await;
    assert_eq!((status, &problem["detail"]), (400, &json!("component: it is broken")));
    let (_, listed) = deployment.get(&deployment.dee, &deployment.plugins()).await;
    assert_eq!(listed["plugins"].as_array().unwrap().len(), 2, "those of the beginning: {listed}");
}

/// T29: what its author made of a plugin costs whoever looks at it nothing.
#[tokio::test(flavor = "multi_thread")]
async fn inspecting_tells_what_was_found_at_the_upload_and_runs_nothing() {
    let deployment = Deployment::new().await;
    let stored = deployment.stored("velocity").await;
    let path = format!("{}/{}", deployment.plugins(), stored["id"].as_str().unwrap());
    let (status, shown) = deployment.get(&deployment.dee, &path).await;
    assert_eq!(status, 200, "{shown}");
    assert_eq!(shown["imports"], json!(["countersign:policy/log@1.0.0"]));
    assert_eq!((&shown["wantedCapabilities"], &shown["contract"]), (&json!(["log"]), &json!("1.0.0")));
    assert_eq!((&shown["bytes"], &shown["grantFaults"]), (&json!("velocity component".len()), &json!([])));
    assert_eq!(shown, stored, "then and now");
    assert_eq!(deployment.world.plugin.examined(), 1, "the upload");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_whose_upstream_has_left_the_configuration_is_shown_and_says_so() {
    let deployment = Deployment::new().await;
    let subject = subject_digest(
        B256::new(Sha256::digest("component").into()),
        "{}",
        &BTreeSet::from(["http:gone".to_owned(), "log".to_owned()]),
    );
    let body = json!({
        "plugin": "screening", "component": STANDARD.encode("component"), "settings": "{}",
        "grants": ["http:gone", "log"],
        "signature": deployment.ann.signature(&deployment.world, "screening", subject),
    });
    let (status, stored) = deployment.upload(&deployment.ann, &body).await;
    assert_eq!(status, 201, "{stored}");
    let path = format!("{}/{}", deployment.plugins(), stored["id"].as_str().unwrap());
    let (status, shown) = deployment.get(&deployment.dee, &path).await;
    assert_eq!((status, &shown["grantFaults"]), (200, &json!(["http:gone"])), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn revisions_are_listed_in_pages_and_say_where_they_are_bound() {
    let deployment = Deployment::new().await;
    let stored = deployment.stored("velocity").await;
    let (_, page) = deployment.get(&deployment.dee, &format!("{}?limit=1", deployment.plugins())).await;
    assert_eq!(page["plugins"].as_array().unwrap().len(), 1);
    let mut before = String::new();
    let mut found = Vec::new();
    loop {
        let path = format!("{}?limit=1{before}", deployment.plugins());
        let (_, page) = deployment.get(&deployment.dee, &path).await;
        let Some(revision) = page["plugins"].get(0).cloned() else { break };
        before = format!("&before={}", revision["id"].as_str().unwrap());
        found.push(revision);
    }
    assert_eq!(found.len(), 3);
    let bound = found.iter().find(|revision| revision["id"] == deployment.revision.to_string()).unwrap();
    assert_eq!(bound["bindings"][0]["plugin"], "orion");
    let idle = found.iter().find(|revision| revision["id"] == stored["id"]).unwrap();
    assert_eq!(idle["bindings"], json!([]));
}

/// Revoking takes one operator and is felt by the next decision.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_revision_denies_at_once_and_is_bound_no_more() {
    let deployment = Deployment::new().await;
    let escrow = deployment.world.user(&Wallet::new(1)).await;
    assert_ne!(deployment.transfer(escrow).await, "REJECTED");
    let id = deployment.revision.to_string();
    assert_eq!(deployment.revoke(&deployment.dee, &id).await.0, 403);
    let (status, revoked) = deployment.revoke(&deployment.bob, &id).await;
    assert_eq!((status, &revoked["by"]), (200, &json!(deployment.bob.id.to_string())), "{revoked}");
    assert_eq!(deployment.transfer(escrow).await, "REJECTED");
    // Again changes nothing, by whomever.
    let (status, again) = deployment.revoke(&deployment.cy, &id).await;
    assert_eq!((status, &again["at"]), (200, &revoked["at"]));
    let (_, shown) = deployment.get(&deployment.dee, &format!("{}/{id}", deployment.plugins())).await;
    assert_eq!(shown["revoked"]["by"], deployment.bob.id.to_string());
    // No quorum brings it back.
    let body = json!({
        "organization": deployment.world.organization.to_string(), "change": deployment.next_policy().await,
        "reason": "again",
    });
    let (status, problem) = deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await;
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().contains("may not judge: it was revoked"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_revoked_author_signed_for_denies_at_once() {
    let deployment = Deployment::new().await;
    deployment.enrolled("Eve", 5, &[AUTHOR]).await;
    let escrow = deployment.world.user(&Wallet::new(1)).await;
    assert_ne!(deployment.transfer(escrow).await, "REJECTED");
    assert_eq!(deployment.dismiss(&deployment.bob, &deployment.ann).await.0, 200);
    assert_eq!(deployment.transfer(escrow).await, "REJECTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_binding_whose_revision_was_revoked_meanwhile_is_not_carried() {
    let deployment = Deployment::new().await;
    let stored = deployment.stored("velocity").await;
    let mut change = deployment.next_policy().await;
    change["bindings"].as_array_mut().unwrap().push(binding(&stored, "shadow"));
    let proposal = deployment.propose(&change).await;
    assert_eq!(deployment.say(&deployment.bob, &proposal, "approve").await.0, 200);
    assert_eq!(deployment.revoke(&deployment.bob, stored["id"].as_str().unwrap()).await.0, 200);
    let (status, problem) = deployment.say(&deployment.cy, &proposal, "approve").await;
    assert_eq!(status, 400, "{problem}");
}

/// A successor is heard beside what it is to replace, and takes over what that remembers.
#[tokio::test(flavor = "multi_thread")]
async fn a_successor_is_a_shadow_beside_the_revision_in_force_until_it_replaces_it() {
    let deployment = Deployment::new().await;
    let organization = deployment.world.organization;
    let bindings = async || {
        let policy = deployment.world.services.store.policy(organization).await.unwrap().unwrap();
        policy.bindings.iter().map(|one| (one.id, one.revision.to_string(), one.mode)).collect::<Vec<_>>()
    };
    let [(enforced, present, Mode::Enforce)] = &bindings().await[..] else { panic!("one is bound") };
    let (enforced, present) = (*enforced, present.clone());
    let successor = deployment.stored("orion").await;
    let id = successor["id"].as_str().unwrap().to_owned();
    let mut staged = deployment.next_policy().await;
    staged["bindings"].as_array_mut().unwrap().push(binding(&successor, "shadow"));
    deployment.carried(&staged).await;
    let both = bindings().await;
    assert_eq!(both[0], (enforced, present, Mode::Enforce));
    assert_eq!((&both[1].1, both[1].2), (&id, Mode::Shadow));
    assert_ne!(both[1].0, enforced, "a shadow remembers for itself");
    deployment.carried(&deployment.next_policy().await).await;
    assert_eq!(bindings().await, both, "both go on");

    let mut promoted = deployment.next_policy().await;
    promoted["bindings"][0]["revision"] = successor["id"].clone();
    promoted["bindings"][0]["subject_digest"] = successor["subjectDigest"].clone();
    promoted["bindings"].as_array_mut().unwrap().pop();
    deployment.carried(&promoted).await;
    assert_eq!(bindings().await, [(enforced, id, Mode::Enforce)]);
    let staged_at = deployment.policy_revision().await - 1;
    deployment.carried(&json!({"kind": "policy_rollback", "to": staged_at})).await;
    assert_eq!(bindings().await, both, "and back");

    let mut twice = staged;
    twice["replaces"] = json!(deployment.policy_revision().await);
    twice["bindings"].as_array_mut().unwrap().push(binding(&successor, "shadow"));
    let body = json!({"organization": organization.to_string(), "change": twice, "reason": "twice"});
    let (status, problem) = deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await;
    assert_eq!(status, 400, "{problem}");
    assert!(problem.to_string().contains("and once as a shadow"), "{problem}");
}

/// Going back is a change like any other, and brings back what the plugins remembered.
#[tokio::test(flavor = "multi_thread")]
async fn going_back_to_an_earlier_policy_takes_the_quorum() {
    let deployment = Deployment::new().await;
    let stored = deployment.stored("velocity").await;
    let mut change = deployment.next_policy().await;
    change["bindings"].as_array_mut().unwrap().push(binding(&stored, "enforce"));
    let carried = deployment.carried(&change).await;
    let before = deployment.policy_revision().await;
    let organization = deployment.world.organization;
    let policy = |revision: u64| format!("/operator/v1/organizations/{organization}/policies/{revision}");
    let (_, with) = deployment.get(&deployment.dee, &policy(before)).await;
    assert_eq!(with["carried"]["proposal"], carried["id"]);
    assert_eq!(with["carried"]["proposer"], deployment.ann.id.to_string());
    assert_eq!(with["carried"]["approvers"].as_array().unwrap().len(), 2);
    let mut without = deployment.next_policy().await;
    without["bindings"].as_array_mut().unwrap().pop();
    deployment.carried(&without).await;

    let back = json!({"kind": "policy_rollback", "to": before});
    let proposal = deployment.propose(&back).await;
    let signed: Value = serde_json::from_str(proposal["signedText"].as_str().unwrap()).unwrap();
    assert_eq!(
        signed[4]["policy"]["bindings"][1]["revision"], stored["id"],
        "approvers read what comes back"
    );
    assert_eq!(deployment.policy_revision().await, before + 1, "one alone goes nowhere");
    assert_eq!(deployment.say(&deployment.bob, &proposal, "approve").await.1["state"], "open");
    assert_eq!(deployment.say(&deployment.cy, &proposal, "approve").await.1["state"], "carried");
    assert_eq!(deployment.policy_revision().await, before + 2);
    let (_, now) = deployment.get(&deployment.dee, &policy(before + 2)).await;
    assert_eq!(now["bindings"], with["bindings"], "binding ids and all");
    for (to, status) in [(before + 2, 400), (before + 9, 404), (0, 404)] {
        let body = json!({
            "organization": deployment.world.organization.to_string(), "reason": "x",
            "change": {"kind": "policy_rollback", "to": to},
        });
        assert_eq!(deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await.0, status, "{to}");
    }
    let list = format!("/operator/v1/organizations/{}/policies?limit=2", deployment.world.organization);
    let (_, newest) = deployment.get(&deployment.dee, &list).await;
    let revisions = |page: &Value| {
        let policies = page["policies"].as_array().unwrap().iter();
        policies.map(|policy| policy["revision"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(revisions(&newest), [before + 2, before + 1]);
    let (_, older) = deployment.get(&deployment.dee, &format!("{list}&before={}", before + 1)).await;
    assert_eq!(revisions(&older)[0], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_revisions_are_bounded() {
    let deployment = Deployment::with_limits(Limits { plugin_revisions_max: 3, ..limits() }).await;
    let stored = deployment.stored("velocity").await;
    let (status, problem) =
        deployment.upload(&deployment.ann, &deployment.ann.upload(&deployment.world, "allowlist")).await;
    assert_eq!(status, 429, "{problem}");
    assert_eq!(deployment.world.plugin.examined(), 1);
    // A mistake must not cost a place for ever.
    assert_eq!(deployment.revoke(&deployment.bob, stored["id"].as_str().unwrap()).await.0, 200);
    deployment.stored("allowlist").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_bounded_in_bytes() {
    let deployment = Deployment::with_limits(Limits { proposal_bytes_max: 1_024, ..limits() }).await;
    let mut change = deployment.next_policy().await;
    let binding = change["bindings"][0].clone();
    change["bindings"].as_array_mut().unwrap().extend(vec![binding; 10]);
    let body = json!({
        "organization": deployment.world.organization.to_string(), "change": change, "reason": "long",
    });
    let (status, problem) = deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await;
    assert_eq!(status, 400, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("at most 1024 bytes"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_asks_so_often_and_no_more() {
    let mut config = ApiConfig::default();
    config.rates.operator = Rate { burst: 3, period_ms: 3_600_000 };
    let deployment = Deployment::with(limits(), config.clone(), config).await;
    for _ in 0..3 {
        assert_eq!(deployment.get(&deployment.dee, "/operator/v1/charter").await.0, 200);
    }
    assert_eq!(deployment.get(&deployment.dee, "/operator/v1/charter").await.0, 429);
    assert_eq!(
        deployment.get(&deployment.bob, "/operator/v1/charter").await.0,
        200,
        "others are not held up"
    );
}
