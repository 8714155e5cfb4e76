//! What proposals change, and when they do not.

use std::time::Duration;

use gateway_domain::{
    Error, OpCtx, Timestamp, actor::Actor, identity::set_organization_frozen, ids::OrganizationId,
    operators::OperatorActor,
};

use super::*;

fn path(proposal: &Value, verb: &str) -> String {
    format!("/operator/v1/proposals/{}/{verb}", proposal["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_moves_when_the_last_needed_approver_signs() {
    let deployment = Deployment::new().await;
    let mut change = deployment.next_policy().await;
    change["floor"]["minimum_confidence_ppm"] = json!(900_000);
    let before = deployment.policy_revision().await;
    let carried = deployment.carried(&change).await;
    assert_eq!(deployment.policy_revision().await, before + 1);
    let approvals = carried["approvals"].as_array().unwrap();
    let by: Vec<_> = approvals.iter().map(|approval| approval["operator"].as_str().unwrap()).collect();
    assert_eq!(by, [deployment.bob.id.to_string(), deployment.cy.id.to_string()]);
    // The evidence is the request that was signed, digest and all: an auditor can check it.
    let evidence = approvals[0]["evidence"].as_str().unwrap();
    let claims = evidence.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let body = serde_json::to_vec(&json!({"digest": carried["digest"]})).unwrap();
    assert_eq!(claims["bsh"], URL_SAFE_NO_PAD.encode(Sha256::digest(body)));
    // Judged by the new floor from now on.
    let store = &deployment.world.services.store;
    let policy = store.policy(deployment.world.organization).await.unwrap().unwrap();
    assert_eq!(policy.floor.minimum_confidence_ppm, 900_000);
}

/// Approvers read names, and whether a plugin begins anew or with what it remembers.
#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_names_each_plugin_once_and_the_binding_it_continues() {
    let deployment = Deployment::new().await;
    let store = &deployment.world.services.store;
    let policy = store.policy(deployment.world.organization).await.unwrap().unwrap();
    let present = &policy.bindings[0];
    let change = deployment.next_policy().await;
    let proposal = deployment.propose(&change).await;
    let signed: Value = serde_json::from_str(proposal["signedText"].as_str().unwrap()).unwrap();
    let named = [
        &proposal["change"],
        signed.as_array().unwrap().iter().find(|part| part["kind"] == "policy").unwrap(),
    ];
    for change in named {
        let binding = &change["bindings"][0];
        assert_eq!(
            (&binding["plugin"], &binding["continues"]),
            (&json!(present.plugin), &json!(present.id)),
            "{change}"
        );
    }
    let mut renamed = change.clone();
    renamed["bindings"][0]["plugin"] = json!("another");
    let mut twice = change.clone();
    let again = twice["bindings"][0].clone();
    twice["bindings"].as_array_mut().unwrap().push(again);
    for (change, rule) in [
        (renamed, "bindings.plugin is not that of the plugin revision".to_owned()),
        (twice, format!("bindings: plugin `{}` must be bound only once", present.plugin)),
    ] {
        let body = json!({
            "organization": deployment.world.organization.to_string(), "change": change, "reason": "because",
        });
        let (status, problem) = deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await;
        assert_eq!(status, 400, "{problem}");
        assert!(problem.to_string().contains(&rule), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_counts_twice_and_nobody_for_what_they_proposed() {
    let deployment = Deployment::new().await;
    let proposal = deployment.propose(&deployment.next_policy().await).await;
    assert_eq!(deployment.say(&deployment.ann, &proposal, "approve").await.0, 403);
    for _ in 0..3 {
        let (status, answer) = deployment.say(&deployment.bob, &proposal, "approve").await;
        assert_eq!((status, &answer["state"]), (200, &json!("open")));
        assert_eq!(answer["approvals"].as_array().unwrap().len(), 1);
    }
    let wrong = json!({"digest": format!("0x{}", "0".repeat(64))});
    assert_eq!(deployment.post(&deployment.cy, &path(&proposal, "approve"), &wrong).await.0, 409);
    assert_eq!(deployment.say(&deployment.dee, &proposal, "approve").await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approver_who_was_revoked_no_longer_counts() {
    let deployment = Deployment::new().await;
    // Eve approves as well, so that somebody can be spared.
    let eve = deployment.enrolled("Eve", 5, &[APPROVER]).await;

    let proposal = deployment.propose(&deployment.next_policy().await).await;
    assert_eq!(deployment.say(&deployment.bob, &proposal, "approve").await.0, 200);
    assert_eq!(deployment.dismiss(&deployment.cy, &deployment.bob).await.0, 200);
    let (_, answer) = deployment.say(&deployment.cy, &proposal, "approve").await;
    assert_eq!(answer["state"], "open", "Bob's approval is gone");
    let (_, answer) = deployment.say(&eve, &proposal, "approve").await;
    assert_eq!(answer["state"], "carried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_ends_by_one_no_by_its_proposer_or_by_time() {
    let deployment = Deployment::new().await;
    let refused = deployment.propose(&deployment.next_policy().await).await;
    assert_eq!(deployment.say(&deployment.bob, &refused, "refuse").await.1["state"], "refused");
    let withdrawn = deployment.propose(&deployment.next_policy().await).await;
    assert_eq!(deployment.say(&deployment.bob, &withdrawn, "withdraw").await.0, 403);
    assert_eq!(deployment.say(&deployment.ann, &withdrawn, "withdraw").await.1["state"], "withdrawn");
    let expired = deployment.propose(&deployment.next_policy().await).await;
    deployment.world.clock.advance(Duration::from_hours(24 * 7 + 1));
    for proposal in [&refused, &withdrawn, &expired] {
        for who in [&deployment.bob, &deployment.cy] {
            let (status, problem) = deployment.say(who, proposal, "approve").await;
            assert_eq!(status, 409, "{problem}");
        }
    }
    let (_, list) = deployment.get(&deployment.dee, "/operator/v1/proposals?limit=10").await;
    let states: Vec<_> = list["proposals"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["expired", "withdrawn", "refused"]);
    let before = format!("/operator/v1/proposals?before={}&limit=1", expired["id"].as_str().unwrap());
    let (_, page) = deployment.get(&deployment.dee, &before).await;
    assert_eq!(page["proposals"][0]["id"], withdrawn["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_changes_of_one_policy_do_not_both_come_about() {
    let deployment = Deployment::new().await;
    let change = deployment.next_policy().await;
    let (one, other) = (deployment.propose(&change).await, deployment.propose(&change).await);
    for proposal in [&one, &other] {
        assert_eq!(deployment.say(&deployment.bob, proposal, "approve").await.0, 200);
    }
    let answers = tokio::join!(
        deployment.say(&deployment.cy, &one, "approve"),
        deployment.say(&deployment.cy, &other, "approve")
    );
    let mut statuses = [answers.0.0, answers.1.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(deployment.policy_revision().await, change["replaces"].as_u64().unwrap() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_two_approvals_at_once_carry_a_change_once() {
    let deployment = Deployment::new().await;
    for _ in 0..10 {
        let proposal = deployment.propose(&deployment.next_policy().await).await;
        let before = deployment.policy_revision().await;
        let answers = tokio::join!(
            deployment.say(&deployment.bob, &proposal, "approve"),
            deployment.say(&deployment.cy, &proposal, "approve")
        );
        assert_eq!((answers.0.0, answers.1.0), (200, 200));
        assert_eq!(deployment.policy_revision().await, before + 1);
    }
}

/// What an orion key may vote on is its service's.
#[tokio::test(flavor = "multi_thread")]
async fn an_orion_key_is_proposed_with_the_service_it_speaks_for() {
    let deployment = Deployment::new().await;
    let service = deployment.world.outside_service().await.id;
    let propose = async |label: &str, service: Value| {
        let change = json!({
            "kind": "api_key", "label": label, "name": "verifier", "principal": null, "expires_at": null,
            "verification_service": service,
        });
        let organization = deployment.world.organization.to_string();
        let body = json!({"organization": organization, "change": change, "reason": "because"});
        deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await
    };
    for (label, named, status, rule) in [
        ("orion", Value::Null, 400, "an orion key must name the verification service that it speaks for"),
        ("orion", json!(service + 1), 404, "verification service"),
        ("agent", json!(service), 400, "only an orion key is bound to a verification service"),
    ] {
        let (refused, told) = propose(label, named).await;
        assert!(refused == status && told.to_string().contains(rule), "{refused}: {told}");
    }
    let (status, proposal) = propose("orion", json!(service)).await;
    assert_eq!(status, 201, "{proposal}");
    for who in [&deployment.bob, &deployment.cy] {
        assert_eq!(deployment.say(who, &proposal, "approve").await.0, 200);
    }
    assert_eq!(deployment.poke(&deployment.ann, &path(&proposal, "api-key")).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_is_made_once_for_its_proposer() {
    let deployment = Deployment::new().await;
    let change = json!({
        "kind": "api_key", "label": "arbiter", "name": "second arbiter", "principal": null,
        "expires_at": null, "verification_service": null,
    });
    let proposal = deployment.propose(&change).await;
    let claim = path(&proposal, "api-key");
    assert_eq!(deployment.poke(&deployment.ann, &claim).await.0, 409, "nobody has agreed");
    for who in [&deployment.bob, &deployment.cy] {
        assert_eq!(deployment.say(who, &proposal, "approve").await.0, 200);
    }
    assert_eq!(deployment.poke(&deployment.bob, &claim).await.0, 403);
    // Carried, and stopped before it was taken.
    let stopped = deployment.carried(&change).await;
    assert_eq!(deployment.say(&deployment.bob, &stopped, "refuse").await.1["state"], "refused");
    assert_eq!(deployment.poke(&deployment.ann, &path(&stopped, "api-key")).await.0, 409);
    let (one, other) =
        tokio::join!(deployment.poke(&deployment.ann, &claim), deployment.poke(&deployment.ann, &claim));
    let (won, lost) = if one.0 == 201 { (one, other) } else { (other, one) };
    assert_eq!((won.0, lost.0), (201, 409), "{lost:?}");
    let text = won.1["apiKey"].as_str().unwrap().to_owned();
    let wallet = Wallet::new(1);
    deployment.world.user(&wallet).await;
    let listed = format!("/transactions/users/{}", wallet.address());
    deployment.world.get(listed).header("x-api-key", &text).send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn freezing_takes_one_and_thawing_two() {
    let deployment = Deployment::new().await;
    let organization = deployment.world.organization;
    let thaw = json!({"kind": "thaw", "key": null});
    let body = json!({"organization": organization.to_string(), "change": thaw, "reason": "over"});
    let (status, problem) = deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await;
    assert_eq!(status, 409, "{problem}");
    let freeze = format!("/operator/v1/organizations/{organization}/freeze");
    assert_eq!(deployment.post(&deployment.bob, &freeze, &json!({})).await.0, 200);
    // An approval is for this freeze: once thawed and frozen again, it counts for nothing.
    let early = deployment.propose(&thaw).await;
    assert_eq!(deployment.say(&deployment.bob, &early, "approve").await.0, 200);
    deployment.carried(&thaw).await;
    assert_eq!(deployment.post(&deployment.bob, &freeze, &json!({})).await.0, 200);
    assert_eq!(deployment.say(&deployment.cy, &early, "approve").await.0, 409);
    let frozen =
        async || deployment.world.services.store.organization(organization).await.unwrap().unwrap().frozen;
    assert!(frozen().await);
    deployment.carried(&thaw).await;
    assert!(!frozen().await);
}

/// Whoever freezes what is frozen has seen something new, which those who approved the thaw had not.
#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_of_what_is_frozen_ends_the_thaws_proposed_before() {
    let deployment = Deployment::new().await;
    let organization = deployment.world.organization;
    let wallet = Wallet::new(1);
    deployment.world.user(&wallet).await;
    let store = &deployment.world.services.store;
    let key = store.key_list(organization).await.unwrap()[0].id;
    let freeze = format!("/operator/v1/organizations/{organization}/freeze");
    for (body, thaw) in [
        (json!({}), json!({"kind": "thaw", "key": null})),
        (json!({"key": key.to_string()}), json!({"kind": "thaw", "key": key.to_string()})),
    ] {
        assert_eq!(deployment.post(&deployment.bob, &freeze, &body).await.0, 200);
        let early = deployment.propose(&thaw).await;
        assert_eq!(deployment.say(&deployment.bob, &early, "approve").await.0, 200);
        assert_eq!(deployment.post(&deployment.cy, &freeze, &body).await.0, 200);
        let (status, problem) = deployment.say(&deployment.cy, &early, "approve").await;
        assert_eq!(status, 409, "{problem}");
        deployment.carried(&thaw).await;
    }
    assert!(!store.organization(organization).await.unwrap().unwrap().frozen);
    assert!(!store.key(organization, key).await.unwrap().unwrap().frozen);
}

/// A lift is for the freeze that was there when it was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_lift_that_loses_against_a_freeze_is_not_tried_again() {
    let world = World::new().await;
    let (ctx, services) = (world.ctx(), &world.services);
    set_organization_frozen(&ctx, services, true).await.unwrap();
    let mut lost = 0;
    for _ in 0..50 {
        let (frozen, lifted) = tokio::join!(
            set_organization_frozen(&ctx, services, true),
            set_organization_frozen(&ctx, services, false),
        );
        frozen.unwrap();
        let stored = services.store.organization(world.organization).await.unwrap().unwrap();
        match lifted {
            Err(Error::Conflict(_)) => {
                assert!(stored.frozen);
                lost += 1;
            }
            lifted => drop(lifted.unwrap()),
        }
        set_organization_frozen(&ctx, services, true).await.unwrap();
    }
    assert!(lost > 0, "both never met");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charter_stays_one_that_nobody_alone_can_use() {
    let deployment = Deployment::new().await;
    let twin = newcomer("Other", 2, &[APPROVER]);
    let fresh = newcomer("Eve", 5, &[APPROVER]);
    let change = |new: &NewOperator, approvals: u32| {
        let new = json!({"name": new.name, "public_key": new.public_key, "roles": new.roles});
        json!({"kind": "charter", "enrolled": [new], "approvals_required": approvals})
    };
    let nameless = NewOperator { name: String::new(), ..fresh.clone() };
    let same_name = NewOperator { name: "Bob".to_owned(), ..fresh.clone() };
    let idle = NewOperator { roles: [].into(), ..fresh.clone() };
    for (change, rule) in [
        (change(&fresh, 0), "approvals_required must be at least 2"),
        (change(&fresh, 1), "approvals_required must be at least 2"),
        (change(&fresh, 4), "4 approvers beside"),
        (change(&twin, 2), "must be enrolled once"),
        (change(&nameless, 2), "1 to 64 printable characters"),
        (change(&same_name, 2), "different names"),
        (change(&idle, 2), "must have a role"),
    ] {
        let body = json!({"change": change, "reason": "why not"});
        let (status, problem) = deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await;
        assert_eq!(status, 400, "{rule}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(rule), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_change_says_is_read_whole() {
    let deployment = Deployment::new().await;
    let organization = deployment.world.organization.to_string();
    let mut unknown = deployment.next_policy().await;
    unknown["floor"]["minimum_confidence"] = json!(1);
    let mut binding = deployment.next_policy().await;
    binding["bindings"][0]["scope"]["vault"] = json!([]);
    let mut missing = deployment.next_policy().await;
    missing.as_object_mut().unwrap().remove("replaces");
    let mut stale = deployment.next_policy().await;
    stale["replaces"] = json!(0);
    let mut other = deployment.next_policy().await;
    other["bindings"][0]["subject_digest"] = json!(format!("0x{}", "7".repeat(64)));
    let mut powerless = deployment.next_policy().await;
    powerless["bindings"][0]["power"] = json!("gate");
    for (body, status, rule) in [
        (
            json!({"organization": organization, "change": unknown, "reason": "x"}),
            400,
            "`minimum_confidence`",
        ),
        (json!({"organization": organization, "change": binding, "reason": "x"}), 400, "`vault`"),
        (json!({"organization": organization, "change": missing, "reason": "x"}), 400, "`replaces`"),
        (json!({"organization": organization, "change": {"kind": "sudo"}, "reason": "x"}), 400, "`sudo`"),
        (json!({"organization": organization, "change": stale, "reason": "x"}), 409, "moved on"),
        (json!({"organization": organization, "change": powerless, "reason": "x"}), 400, "authority"),
        (json!({"organization": organization, "change": other, "reason": "x"}), 400, "subject_digest"),
        (json!({"change": deployment.next_policy().await, "reason": "x"}), 400, "organization must be given"),
        (
            json!({"organization": organization, "change": deployment.next_policy().await, "reason": ""}),
            400,
            "reason",
        ),
        (
            json!({"organization": organization, "change": deployment.next_policy().await}),
            400,
            "reason is required",
        ),
        (
            json!({"organization": Uuid::new_v4().to_string(), "change": deployment.next_policy().await, "reason": "x"}),
            404,
            "organization not found",
        ),
    ] {
        let (found, problem) = deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await;
        assert_eq!(found, status, "{rule}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(rule), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_proposals_are_bounded() {
    let deployment = Deployment::with_limits(Limits { open_proposals_max: 2, ..limits() }).await;
    let change = deployment.next_policy().await;
    let first = deployment.propose(&change).await;
    deployment.propose(&change).await;
    let body = json!({
        "organization": deployment.world.organization.to_string(), "change": change, "reason": "one more",
    });
    let (status, problem) = deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await;
    assert_eq!(status, 429, "{problem}");
    assert_eq!(deployment.say(&deployment.ann, &first, "withdraw").await.0, 200);
    assert_eq!(deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await.0, 201);
}

/// Whoever loses a race looks again: what stops something is not lost to what stops something else.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_several_things_at_once_stops_them_all() {
    let deployment = Deployment::new().await;
    deployment.enrolled("Eve", 5, &[APPROVER]).await;
    let freeze = format!("/operator/v1/organizations/{}/freeze", deployment.world.organization);
    let nothing = json!({});
    let answers = tokio::join!(
        deployment.dismiss(&deployment.bob, &deployment.cy),
        deployment.dismiss(&deployment.ann, &deployment.dee),
        deployment.post(&deployment.ann, &freeze, &nothing),
        deployment.post(&deployment.bob, &freeze, &nothing),
    );
    assert_eq!([answers.0.0, answers.1.0, answers.2.0, answers.3.0], [200; 4]);
    let (_, charter) = deployment.get(&deployment.bob, "/operator/v1/charter").await;
    let operators = charter["operators"].as_array().unwrap().iter();
    assert_eq!(operators.filter(|operator| operator["revokedAt"].is_string()).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hides_or_reorders_text_is_refused_in_reasons_and_names() {
    let deployment = Deployment::new().await;
    let organization = deployment.world.organization.to_string();
    let change = deployment.next_policy().await;
    for reason in ["safe\u{202e}evil", "a\u{200b}b", "tag\u{e0041}"] {
        let body = json!({"organization": organization, "change": change, "reason": reason});
        assert_eq!(
            deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await.0,
            400,
            "{reason:?}"
        );
    }
    let eve = newcomer("Bo\u{200d}b", 5, &[APPROVER]);
    let eve = json!({"name": eve.name, "public_key": eve.public_key, "roles": eve.roles});
    let change = json!({"kind": "charter", "enrolled": [eve], "approvals_required": 2});
    let body = json!({"change": change, "reason": "a new approver"});
    assert_eq!(deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await.0, 400);
}

/// What stopped something is kept with the request that somebody signed for it.
#[test]
fn the_log_keeps_the_signed_request_of_whoever_did_something() {
    let id = OperatorId::from_uuid(Uuid::new_v4());
    let operator = OperatorActor { operator: id, roles: BTreeSet::new(), evidence: "a.b.c".to_owned() };
    let organization = OrganizationId::from_uuid(Uuid::new_v4());
    let ctx = OpCtx {
        actor: Actor::Operator(operator),
        ..OpCtx::gateway(organization, Timestamp::from_unix_micros(1))
    };
    let event = AuditEvent::new(&ctx, "organization.frozen", "organization x".to_owned(), json!({}));
    assert_eq!(event.detail, json!({"evidence": "a.b.c"}));
}
