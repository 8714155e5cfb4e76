//! What Fireblocks has when it no longer takes the very credentials that sent it.

use std::{sync::atomic::Ordering, time::Duration};

use gateway_domain::{
    fireblocks::{IntegrationState, VendorStatus},
    transactions::{FailureReason, Progress, Provider, State},
};

use super::scene::{Scene, name};
use crate::vendors::LOST_AFTER;

const LOST: State = State::Failed { reason: FailureReason::VendorLost };

/// A scene whose clock only the test moves.
async fn still() -> Scene {
    let scene = Scene::new(Provider::Fireblocks).await;
    scene.world.clock.stop();
    scene
}

impl Scene {
    /// The only transaction, once it was looked at.
    async fn looked_at(&self) -> (Progress, State) {
        let transaction = self.stored(&name(1)).await;
        let progress = self.advance(&transaction).await;
        (progress, self.stored(&name(1)).await.state)
    }

    /// Whether the integration is shown as invalid, and what is said of it.
    async fn is_invalid(&self) -> (bool, Option<String>) {
        let state = self.integration().await.state;
        (matches!(state, IntegrationState::Invalid(_)), state.access().unwrap().validation_error.clone())
    }
}

/// Refused for long enough it ends, and neither its name nor what it counts against is freed.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_refused_to_its_own_credentials_ends_in_time() {
    // Whether Fireblocks said that it took the transaction, and how it refuses.
    for (is_answered, http_status) in [(true, 401), (true, 403), (false, 401), (false, 403)] {
        let scene = still().await;
        let vendor = &scene.world.vendors.fireblocks;
        vendor.is_silent.store(!is_answered, Ordering::SeqCst);
        scene.order(1, 1).await.expect(201);
        vendor.refuse(http_status);
        // What is on its way may be taken until its permit runs out.
        scene.world.clock.advance(scene.world.services.limits.permit_lifetime);
        let (progress, state) = scene.looked_at().await;
        assert!(matches!(progress, Progress::Again(_)) && !state.is_final(), "{state:?}");
        let told = format!("Fireblocks refused to show a transaction and answered {http_status}");
        assert_eq!(scene.is_invalid().await, (true, Some(told)));
        scene.world.clock.advance(LOST_AFTER.saturating_sub(Duration::from_secs(1)));
        assert!(!scene.looked_at().await.1.is_final());
        scene.world.clock.advance(Duration::from_secs(1));
        assert_eq!(scene.looked_at().await, (Progress::Done, LOST), "{is_answered} {http_status}");
        assert!(scene.is_invalid().await.0);
        scene.order(1, 2).await.expect(409);
        assert_eq!(vendor.posts(&name(1)), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_count_from_the_last_answer() {
    let scene = still().await;
    let vendor = &scene.world.vendors.fireblocks;
    scene.order(1, 1).await.expect(201);
    for _ in 0..3 {
        vendor.refuse(401);
        scene.looked_at().await;
        scene.world.clock.advance(LOST_AFTER.saturating_sub(Duration::from_secs(1)));
        let (_, state) = scene.looked_at().await;
        assert!(matches!(state, State::HandedOver { .. }), "{state:?}");
        assert!(scene.is_invalid().await.0);
        vendor.relent();
        scene.looked_at().await;
        assert_eq!(scene.is_invalid().await, (false, None));
    }
    vendor.say(&name(1), VendorStatus::Completed);
    let (_, state) = scene.looked_at().await;
    assert!(matches!(state, State::ExecutedByVendor { .. }), "{state:?}");
}

/// That the key passes the harmless check does not tell what it may see.
#[tokio::test(flavor = "multi_thread")]
async fn a_validation_does_not_put_off_the_end() {
    let scene = still().await;
    let vendor = &scene.world.vendors.fireblocks;
    scene.order(1, 1).await.expect(201);
    vendor.refuse(401);
    scene.looked_at().await;
    scene.world.clock.advance(LOST_AFTER.saturating_sub(Duration::from_secs(1)));
    vendor.relent();
    scene.validate().await;
    assert!(!scene.is_invalid().await.0);
    vendor.refuse(401);
    assert!(!scene.looked_at().await.1.is_final());
    assert!(scene.is_invalid().await.0);
    scene.world.clock.advance(Duration::from_secs(1));
    assert_eq!(scene.looked_at().await.1, LOST);
}

/// An address that is blocked, or a form that has changed: that says nothing of the credentials, and is waited for as long
/// as anything else.
#[tokio::test(flavor = "multi_thread")]
async fn other_refusals_blame_no_credentials_and_end_a_transaction_in_time() {
    for (is_answered, http_status) in [(true, 400), (true, 405), (true, 451), (false, 400)] {
        let scene = still().await;
        let vendor = &scene.world.vendors.fireblocks;
        vendor.is_silent.store(!is_answered, Ordering::SeqCst);
        scene.order(1, 1).await.expect(201);
        // However long Fireblocks had it by then.
        scene.world.clock.advance(LOST_AFTER);
        vendor.refuse(http_status);
        let (progress, state) = scene.looked_at().await;
        assert!(matches!(progress, Progress::Again(_)) && !state.is_final(), "{state:?}");
        scene.world.clock.advance(LOST_AFTER.saturating_sub(Duration::from_secs(1)));
        assert!(!scene.looked_at().await.1.is_final());
        scene.world.clock.advance(Duration::from_secs(1));
        assert_eq!(scene.looked_at().await, (Progress::Done, LOST), "{is_answered} {http_status}");
        assert!(!scene.is_invalid().await.0, "{http_status}");
        scene.order(1, 2).await.expect(409);
        assert_eq!(vendor.posts(&name(1)), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_between_two_refusals_of_a_question_begins_anew() {
    let scene = still().await;
    let vendor = &scene.world.vendors.fireblocks;
    scene.order(1, 1).await.expect(201);
    for _ in 0..3 {
        vendor.refuse(400);
        scene.looked_at().await;
        scene.world.clock.advance(LOST_AFTER.saturating_sub(Duration::from_secs(1)));
        let (_, state) = scene.looked_at().await;
        assert!(matches!(state, State::HandedOver { .. }), "{state:?}");
        vendor.relent();
        scene.looked_at().await;
    }
    vendor.say(&name(1), VendorStatus::Completed);
    let (_, state) = scene.looked_at().await;
    assert!(matches!(state, State::ExecutedByVendor { .. }), "{state:?}");
}
