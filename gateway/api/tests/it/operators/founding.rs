//! How a deployment begins.

use gateway_domain::founding::{Found, FoundCharter, found_deployment};

use super::*;

/// A crash leaves all of it or nothing: no organization is there without the charter that governs it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_founded_in_one_commit() {
    let world = World::new().await;
    let store = &world.services.store;
    let operators =
        vec![newcomer("Ann", 1, &[AUTHOR]), newcomer("Bob", 2, &[APPROVER]), newcomer("Cy", 3, &[APPROVER])];
    let (lane, before) = store.lane_heads().await.unwrap().pop_first().unwrap();
    let charter = Some(FoundCharter { operators, approvals_required: 2 });
    let found = Found { organization: "acme".to_owned(), charter };
    let founded = found_deployment(&world.ctx(), &world.services, found).await.unwrap();
    let entries = store.lane_entries(lane, before.sequence, 100).await.unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["charter.founded", "organization.created", "api_key.created"]);
    // The last entry of each database transaction, and no other, carries the tallies.
    let ends: Vec<_> = entries.iter().map(|entry| entry.tallies.is_some()).collect();
    assert_eq!(ends, [false, false, true]);
    assert_eq!(*store.charter().await.unwrap().unwrap(), founded.charter.unwrap());
    assert_eq!(store.organization(founded.organization).await.unwrap().unwrap().name, "acme");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charter_that_nobody_could_use_founds_nothing() {
    let world = World::new().await;
    let store = &world.services.store;
    let before = store.lane_heads().await.unwrap();
    let operators = vec![newcomer("Ann", 1, &[AUTHOR]), newcomer("Bob", 2, &[APPROVER])];
    let charter = Some(FoundCharter { operators, approvals_required: 2 });
    let found = Found { organization: "acme".to_owned(), charter };
    assert!(found_deployment(&world.ctx(), &world.services, found).await.is_err());
    assert_eq!(store.lane_heads().await.unwrap(), before);
}
