//! API keys that were sealed before a rotation of the sealing key.

use std::sync::atomic::Ordering;

use gateway_domain::{
    changes::Write,
    fireblocks::{Integration, IntegrationState, Resealed, reseal_api_keys},
    ids::IntegrationId,
    transactions::Provider,
    vendors::VendorRole,
};
use serde_json::json;
use uuid::Uuid;

use super::scene::Scene;

async fn reseal(scene: &Scene) -> Resealed {
    reseal_api_keys(&scene.world.services, None, 10).await.unwrap()
}

async fn opened(scene: &Scene) -> String {
    let key = scene.integration().await.open_api_key(&scene.world.services).await.unwrap();
    key.unwrap().expose().to_owned()
}

fn sealed_under(integration: &Integration) -> u32 {
    integration.state.access().unwrap().api_key.epoch
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys_are_sealed_anew_after_a_rotation_and_their_owners_see_nothing_of_it() {
    let scene = Scene::new(Provider::Fireblocks).await;
    assert_eq!(reseal(&scene).await, Resealed::default());
    let before = scene.integration().await;

    scene.world.vendors.sealing_epoch.store(2, Ordering::SeqCst);
    assert_eq!(opened(&scene).await, "api-key", "what lies under the first rotation opens");
    let (one, other) = tokio::join!(reseal(&scene), reseal(&scene));
    assert!(one.sealed + other.sealed >= 1, "{one:?} {other:?}");
    let after = scene.integration().await;
    assert_eq!((sealed_under(&before), sealed_under(&after)), (1, 2));
    assert_eq!((after.version, after.updated_at), (before.version + 1, before.updated_at));
    assert_eq!(opened(&scene).await, "api-key");
    assert_eq!(reseal(&scene).await, Resealed::default());
    assert_eq!(scene.world.services.store.sealed_before_count(2).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_that_does_not_open_stays_and_holds_up_no_other() {
    let scene = Scene::new(Provider::Fireblocks).await;
    let (services, ctx) = (&scene.world.services, scene.ctx());
    let whole = scene.integration().await;
    let mut access = whole.state.access().unwrap().clone();
    // As if it had been moved here from elsewhere.
    access.api_key.bytes = json!([[], "api-key", 1]).to_string().into_bytes();
    let broken = Integration {
        // Looked at first.
        id: IntegrationId::from_uuid(Uuid::nil()),
        role: VendorRole::Agent,
        state: IntegrationState::Invalid(access),
        version: 1,
        ..whole.clone()
    };
    let insert =
        Write::InsertIntegration(services.sealer.seal(broken.clone()), services.vendors.limits.integrations);
    scene.commit(&ctx, [insert]).await;

    scene.world.vendors.sealing_epoch.store(2, Ordering::SeqCst);
    let first = reseal_api_keys(services, None, 1).await.unwrap();
    assert_eq!(first, Resealed { sealed: 0, unreadable: 1, last: Some(broken.id) });
    let second = reseal_api_keys(services, first.last, 1).await.unwrap();
    assert_eq!(second, Resealed { sealed: 1, unreadable: 0, last: Some(whole.id) });
    assert_eq!(reseal_api_keys(services, second.last, 1).await.unwrap(), Resealed::default());
    assert_eq!(services.store.sealed_before_count(2).await.unwrap(), 1);
    assert_eq!(sealed_under(&scene.integration().await), 2);
}
