//! "Would this be approved?", and what asking it leaves behind.

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
