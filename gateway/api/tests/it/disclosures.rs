//! Secrets that are handed out, and what is kept of that.

use serde_json::{Value, json};

use crate::{
    wallet::Wallet,
    world::{Reply, World},
};

const API_KEY: &str = "11111111-2222-4333-8444-555555555555";

/// What the log says of the action.
async fn logged(world: &World, action: &str) -> Vec<Value> {
    let store = &world.services.store;
    let mut found = Vec::new();
    for (lane, head) in store.lane_heads().await.unwrap() {
        let entries = store.lane_entries(lane, 0, u32::try_from(head.sequence).unwrap()).await.unwrap();
        found.extend(entries.iter().filter(|entry| entry.action == action).map(|entry| json!(**entry)));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_a_fireblocks_api_key_back_is_on_record_without_the_key() {
    let world = World::new().await;
    let wallet = Wallet::new(1);
    let access = world.log_in(&wallet).await.access;
    let path = format!("/fireblocks/config/execution/{}", wallet.address());
    let read = async |key: &str| -> Reply { world.get(path.clone()).key(&world, key).send().await };
    let subject = json!({"commonName": "My Organization", "organization": "My Org", "country": "US"});
    let made = world.post("/fireblocks/generate-csr/execution", &subject).bearer(&access).send().await;
    let made = made.expect(201);
    read("agent").await.expect(404);
    let body = json!({
        "apiKey": API_KEY, "vaultAccountId": "0", "environment": "sandbox", "region": "US",
    });
    world.post("/fireblocks/complete/execution", &body).bearer(&access).send().await.expect(200);
    read("arbiter").await.expect(403);
    assert_eq!(logged(&world, "fireblocks.config_read").await, [] as [Value; 0], "nobody has read it");

    assert_eq!(read("agent").await.expect(200)["apiKey"], API_KEY);
    let [entry] = logged(&world, "fireblocks.config_read").await.try_into().unwrap();
    let credential = format!("by key {}", world.key_ids["agent"]);
    assert!(entry["actor"].as_str().unwrap().ends_with(&credential), "{entry}");
    let detail: Value = serde_json::from_str(entry["detail"].as_str().unwrap()).unwrap();
    assert_eq!((&detail["key"], &detail["role"]), (&made["keyId"], &json!("execution")), "{entry}");
    assert!(!entry.to_string().contains(API_KEY), "{entry}");
}
