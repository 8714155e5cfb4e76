//! "Would this be approved?", and what asking it leaves behind.

use std::time::Duration;

use gateway_api::Rate;
use gateway_domain::{
    approvals::Role,
    evaluations::{Purpose, Verdict},
    policy::{Mode, Power},
    ports::TransactionFilter,
};

use super::*;
use crate::{
    wallet::Wallet,
    world::{FREE_WEI, World},
};

impl Deployment {
    async fn dry_run(&self, escrow: Address, value: u64) -> Value {
        let (status, answer) = self.post(&self.ann, &self.dry_runs(), &transfer(escrow, value)).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    fn dry_runs(&self) -> String {
        format!("/operator/v1/organizations/{}/dry-runs", self.world.organization)
    }
}

async fn transactions(world: &World, escrow: Address) -> usize {
    let store = &world.services.store;
    let owner = store.user_by_escrow_address(world.organization, escrow).await.unwrap().unwrap();
    let filter = TransactionFilter { limit: 100, ..TransactionFilter::default() };
    store.transactions_of(world.organization, owner.id, &filter).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_a_request_would_come_to_and_stores_what_was_heard_alone() {
    let deployment = Deployment::new().await;
    let world = &deployment.world;
    let escrow = world.user(&Wallet::new(1)).await;
    let signed = world.token.calls();
    let approved = deployment.dry_run(escrow, 1).await;
    assert_eq!((&approved["decision"], &approved["missing"]), (&json!("approved"), &json!([])));
    let said = &approved["bindings"][0];
    assert_eq!((&said["verdict"], &said["mode"]), (&json!("approve"), &json!("enforce")));
    assert_eq!((&said["power"], &said["confidence"]), (&json!("orion"), &json!(0.95)));
    assert_eq!(said["analysis"], "looks fine");

    let pending = deployment.dry_run(escrow, FREE_WEI + 1).await;
    assert_eq!(pending["decision"], "pending");
    let missing = json!([
        {"role": "user", "count": 1, "evidence": "bearer"}, {"role": "agent", "count": 1, "evidence": "bearer"},
    ]);
    assert_eq!(pending["missing"], missing);

    world.plugin.say(Verdict::Reject, "no", 1_000_000);
    let denied = deployment.dry_run(escrow, 1).await;
    assert_eq!(denied["denial"]["reason"], "rejected_by_plugin");

    assert_eq!((transactions(world, escrow).await, world.token.calls()), (0, signed));
    for answer in [&approved, &pending, &denied] {
        let id = answer["id"].as_str().unwrap().parse().unwrap();
        let stored = world.services.store.evaluations(world.organization, id).await.unwrap();
        assert!(matches!(&stored[..], [one] if one.purpose == Purpose::DryRun), "{stored:?}");
        assert!(world.services.store.transaction(world.organization, id).await.unwrap().is_none());
    }
}

/// Who only reads sees what was said, of transactions and dry runs alike, and of no other organization's.
#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_reads_what_plugins_said() {
    let deployment = Deployment::new().await;
    let world = &deployment.world;
    let escrow = world.user(&Wallet::new(1)).await;
    let organization = world.organization.to_string();
    let of = |organization: &str, id: &Value| {
        format!("/operator/v1/organizations/{organization}/transactions/{}/evaluations", id.as_str().unwrap())
    };
    let asked = deployment.dry_run(escrow, 1).await;
    let proposed = world.propose(escrow, 1).await;
    for (id, purpose) in [(&asked["id"], "dry_run"), (&proposed["id"], "decision")] {
        let (status, read) = deployment.get(&deployment.dee, &of(&organization, id)).await;
        assert_eq!(status, 200, "{read}");
        let [said] = &read["evaluations"].as_array().unwrap()[..] else { panic!("{read}") };
        assert_eq!((&said["purpose"], &said["plugin"]), (&json!(purpose), &json!("orion")), "{said}");
        assert_eq!((&said["verdict"], &said["confidence"]), (&json!("approve"), &json!(0.95)), "{said}");
        assert_eq!(said["subjectDigest"], asked["bindings"][0]["subjectDigest"]);
        assert_eq!(said.get("record"), None, "what it was shown is not for everybody");
        let elsewhere = deployment.get(&deployment.dee, &of(&Uuid::new_v4().to_string(), id)).await;
        assert_eq!(elsewhere.0, 404, "{}", elsewhere.1);
    }
    let nothing = json!(Uuid::new_v4().to_string());
    assert_eq!(deployment.get(&deployment.dee, &of(&organization, &nothing)).await.0, 404);
}

/// T16: neither a kind word nor an unkind one reaches a decision, nor do tries or reservations.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_counts_for_nothing() {
    let deployment = Deployment::new().await;
    let world = &deployment.world;
    let escrow = world.user(&Wallet::new(1)).await;
    assert_eq!(deployment.dry_run(escrow, 1).await["decision"], "approved");
    world.plugin.say(Verdict::Reject, "no", 1_000_000);
    assert_eq!(world.propose(escrow, 1).await["status"], "REJECTED");
    let tries = world.services.limits.denied_tries_max + 1;
    for _ in 0..tries {
        assert_eq!(deployment.dry_run(escrow, 1).await["decision"], "denied");
    }
    world.plugin.say(Verdict::Approve, "yes", 1_000_000);
    world.plugin.limit(1);
    for _ in 0..tries {
        assert_eq!(deployment.dry_run(escrow, 1).await["decision"], "approved");
    }
    assert!(world.propose(escrow, 1).await["executionTxHash"].is_string());
    assert_eq!(
        deployment.dry_run(escrow, 1).await["decision"],
        "denied",
        "the one within the limit is taken"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_when_a_request_would_be_turned_away() {
    let deployment = Deployment::new().await;
    let world = &deployment.world;
    let escrow = world.user(&Wallet::new(1)).await;
    world.plugin.say(Verdict::Reject, "no", 1_000_000);
    for _ in 0..world.services.limits.denied_tries_max {
        assert_eq!(deployment.dry_run(escrow, 1).await["askedTooOften"], false);
        world.propose(escrow, 1).await;
    }
    assert_eq!(deployment.dry_run(escrow, 1).await["askedTooOften"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn shadows_are_heard_and_decide_nothing() {
    let deployment = Deployment::new().await;
    let world = &deployment.world;
    let escrow = world.user(&Wallet::new(1)).await;
    let power = || Power::Authority(Role::Orion);
    world.bind("unsigned", Mode::Shadow, power()).await;
    let subject = subject_digest(B256::new(Sha256::digest("component").into()), "{}", &BTreeSet::new());
    let signature = RevisionSignature::parse(&deployment.ann.signature(world, "shadow", subject)).unwrap();
    world.bind_signed("shadow", Mode::Shadow, power(), Some(signature)).await;
    world.plugin.silence("shadow");
    let answer = deployment.dry_run(escrow, 1).await;
    assert_eq!(answer["decision"], "approved");
    // Under a charter nobody asks what no operator has signed.
    assert_eq!(answer["bindings"][1]["code"], "unsigned");
    let shadow = &answer["bindings"][2];
    assert_eq!((&shadow["mode"], &shadow["verdict"]), (&json!("shadow"), &json!("failure")));
    assert_eq!(shadow["code"], "not_asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_reads_asks_nothing_and_what_is_wrong_is_named() {
    let deployment = Deployment::new().await;
    let escrow = deployment.world.user(&Wallet::new(1)).await;
    let (path, asked) = (deployment.dry_runs(), transfer(escrow, 1));
    assert_eq!(deployment.post(&deployment.dee, &path, &asked).await.0, 403);
    assert_eq!(deployment.post(&deployment.bob, &path, &asked).await.0, 200);
    let stranger = transfer(Address::repeat_byte(7), 1);
    let (status, problem) = deployment.post(&deployment.ann, &path, &stranger).await;
    assert_eq!((status, &problem["detail"]), (400, &json!("escrowAddress must belong to a user")));
    let elsewhere = format!("/operator/v1/organizations/{}/dry-runs", Uuid::new_v4());
    assert_eq!(deployment.post(&deployment.ann, &elsewhere, &asked).await.0, 400);
    let mut odd = asked.clone();
    odd["requestHash"] = json!("0x00");
    assert_eq!(deployment.post(&deployment.ann, &path, &odd).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_tries_out_so_often_and_no_more() {
    let mut config = ApiConfig::default();
    config.rates.dry_run = Rate { burst: 2, period_ms: 3_600_000 };
    let deployment = Deployment::with(limits(), config.clone(), config).await;
    let escrow = deployment.world.user(&Wallet::new(1)).await;
    let asked = transfer(escrow, 1);
    for expected in [200, 200, 429] {
        assert_eq!(deployment.post(&deployment.ann, &deployment.dry_runs(), &asked).await.0, expected);
    }
    assert_eq!(deployment.world.plugin.asked("orion"), 2);
    assert_eq!(deployment.post(&deployment.bob, &deployment.dry_runs(), &asked).await.0, 200, "another");
    assert_eq!(
        deployment.get(&deployment.ann, "/operator/v1/charter").await.0,
        200,
        "nothing else is held up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_of_an_organization_store_so_much_a_day_and_no_more() {
    let deployment = Deployment::with_limits(Limits { dry_run_evaluations_daily_max: 3, ..limits() }).await;
    let world = &deployment.world;
    let escrow = world.user(&Wallet::new(1)).await;
    deployment.dry_run(escrow, 1).await;
    // The next ones store two each: what the second stores is not half of it.
    world.bind("gate", Mode::Shadow, Power::Gate).await;
    deployment.dry_run(escrow, 1).await;
    let (status, problem) =
        deployment.post(&deployment.ann, &deployment.dry_runs(), &transfer(escrow, 1)).await;
    assert_eq!(status, 429, "{problem}");
    assert_eq!(world.plugin.asked("orion"), 2, "nobody was asked in vain");
    assert!(world.propose(escrow, 1).await["executionTxHash"].is_string(), "decisions go on");
    world.clock.advance(Duration::from_hours(25));
    deployment.dry_run(escrow, 1).await;
}

/// Who asks at the same time as others finds no more room than one after another.
#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_at_once_store_no_more_than_they_may_together() {
    let deployment = Deployment::with_limits(Limits { dry_run_evaluations_daily_max: 3, ..limits() }).await;
    let escrow = deployment.world.user(&Wallet::new(1)).await;
    let asked = transfer(escrow, 1);
    let path = deployment.dry_runs();
    let runs = (0..8).map(|_| deployment.post(&deployment.ann, &path, &asked));
    let answered = futures::future::join_all(runs).await;
    assert_eq!(answered.iter().filter(|(status, _)| *status == 200).count(), 3);
    assert_eq!(answered.iter().filter(|(status, _)| *status == 429).count(), 5, "{answered:?}");
}
