//! Lists in pages: bounded by count and by bytes, and complete for whoever follows the links.

use std::collections::BTreeSet;

use gateway_api::ApiConfig;
use gateway_domain::{
    B256, U256,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    evaluations::Verdict,
    ids::TransactionId,
    ports::TransactionFilter,
};
use serde_json::json;

use crate::{
    wallet::Wallet,
    world::{World, transfer},
};

/// Copies of the newest transaction, each with a value of its own, made in the same microsecond.
async fn add_copies(world: &World, wallet: &Wallet, values: std::ops::Range<u64>) {
    let store = &world.services.store;
    let owner = store.user_by_address(world.organization, wallet.address()).await.unwrap().unwrap();
    let newest = TransactionFilter { limit: 1, ..TransactionFilter::default() };
    let model = store.transactions_of(world.organization, owner.id, &newest).await.unwrap().remove(0);
    let copies = values.map(|value| {
        let mut copy = (*model).clone();
        copy.id = TransactionId::from_uuid(uuid::Uuid::now_v7());
        copy.request_hash = B256::left_padding_from(&value.to_be_bytes());
        (copy.intent.transaction, copy.intent.value) = (copy.id, U256::from(value));
        copy.intent_hash = copy.intent.hash();
        Write::InsertTransaction(world.services.sealer.seal(copy))
    });
    let event = AuditEvent::new(&world.ctx(), "test.copied", "transactions".to_owned(), json!({}));
    store.commit(ChangeSet::new(event).writes_of(copies)).await.unwrap();
}

/// Follows `link` to the end; the sizes of the pages and the values of their transactions.
async fn follow(world: &World, first: &str) -> (Vec<usize>, Vec<String>) {
    let (mut sizes, mut values) = (Vec::new(), Vec::new());
    let mut next = Some(first.to_owned());
    while let Some(path) = next {
        let reply = world.get(path).key(world, "admin").send().await;
        let page = reply.expect(200);
        let page = page.as_array().unwrap();
        sizes.push(page.len());
        values.extend(page.iter().map(|one| one["value"].as_str().unwrap().to_owned()));
        next = reply.headers.get("link").map(|link| {
            let link = link.to_str().unwrap();
            let path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
            path.to_owned()
        });
    }
    (sizes, values)
}

async fn with_transactions(config: ApiConfig, count: u64, data_bytes: usize) -> (World, String) {
    let world = World::with(config).await;
    let wallet = Wallet::new(1);
    let escrow = world.user(&wallet).await;
    for value in 1..=count {
        let mut body = transfer(escrow, value);
        // A recipient each: what was denied of one is not asked too often.
        body["to"] = json!(format!("0x{value:040x}"));
        body["data"] = json!(format!("0x{}", "ab".repeat(data_bytes)));
        if value % 2 == 0 {
            world.plugin.say(Verdict::Reject, "even", 1_000_000);
        } else {
            world.plugin.say(Verdict::Approve, "odd", 1_000_000);
        }
        world.post("/transactions", &body).key(&world, "admin").send().await.expect(201);
    }
    (world, format!("/transactions/users/{}", wallet.address()))
}

#[tokio::test(flavor = "multi_thread")]
async fn large_transactions_make_shorter_pages_and_none_is_lost() {
    let config = ApiConfig { list_bytes_max: 100_000, ..ApiConfig::default() };
    let (world, path) = with_transactions(config, 9, 20_000).await;
    let (sizes, values) = follow(&world, &format!("{path}?limit=200")).await;
    assert_eq!(sizes, [2, 2, 2, 2, 1], "a transaction of 20,000 bytes takes 40,000 digits");
    assert_eq!(values, ["9", "8", "7", "6", "5", "4", "3", "2", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_transaction_larger_than_the_budget_is_a_page() {
    let config = ApiConfig { list_bytes_max: 1024, ..ApiConfig::default() };
    let (world, path) = with_transactions(config, 2, 20_000).await;
    let (sizes, values) = follow(&world, &path).await;
    assert_eq!((sizes, values), (vec![1, 1], vec!["2".to_owned(), "1".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_end_at_their_limit_and_say_when_nothing_follows() {
    let (world, path) = with_transactions(ApiConfig::default(), 20, 0).await;
    for (limit, pages) in [(7, vec![7, 7, 6]), (19, vec![19, 1]), (200, vec![20])] {
        let (sizes, values) = follow(&world, &format!("{path}?limit={limit}")).await;
        assert_eq!(sizes, pages);
        assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), 20);
    }
    let (_, rejected) = follow(&world, &format!("{path}?limit=3&status=REJECTED")).await;
    assert_eq!(rejected, ["20", "18", "16", "14", "12", "10", "8", "6", "4", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_one_microsecond_are_all_listed_once() {
    let (world, path) = with_transactions(ApiConfig::default(), 3, 0).await;
    add_copies(&world, &Wallet::new(1), 100..107).await;
    for limit in [1, 2, 3, 7] {
        let (_, values) = follow(&world, &format!("{path}?limit={limit}")).await;
        assert_eq!(values.len(), 10, "{values:?}");
        assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), 10, "{values:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_on_after_a_transaction_of_the_user_alone() {
    let (world, path) = with_transactions(ApiConfig::default(), 3, 0).await;
    let values = async |query: String| -> Vec<String> { follow(&world, &format!("{path}?{query}")).await.1 };
    let all = world.get(path.clone()).key(&world, "admin").send().await.expect(200);
    let (newest, created_at) = (all[0]["id"].as_str().unwrap(), all[1]["createdAt"].as_str().unwrap());
    assert_eq!(values(format!("beforeId={newest}")).await, ["2", "1"]);
    assert_eq!(values(format!("beforeId={newest}&before={created_at}")).await, ["1"], "both hold");
    let later = format!("30{}", &created_at[2..]);
    assert_eq!(values(format!("beforeId={newest}&before={later}")).await, ["2", "1"], "both hold");

    let stranger = Wallet::new(2);
    world.user(&stranger).await;
    let theirs = format!("/transactions/users/{}?beforeId={newest}", stranger.address());
    let unknown = "transaction of the user with this beforeId not found";
    for (path, status, fault) in [
        (theirs, 404, unknown),
        (format!("{path}?beforeId={}", uuid::Uuid::now_v7()), 404, unknown),
        (format!("{path}?beforeId=1"), 400, "beforeId must be a UUID"),
    ] {
        let refused = world.get(path).key(&world, "admin").send().await;
        refused.expect(status);
        assert_eq!(refused.message(), fault);
    }
}
