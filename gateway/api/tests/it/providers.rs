//! Every execution provider under the same rules: one suite, run by each. And what a lying vendor can reach (T24).

use std::{future::Future, sync::atomic::Ordering, time::Duration};

use gateway_domain::{
    OpCtx,
    changes::Write,
    fireblocks::{Access, Integration, IntegrationState, VendorStatus},
    identity::set_organization_frozen,
    ids::VendorCallId,
    keys::set_key_frozen,
    policy::DenialReason,
    transactions::{CoreStatus, FailureReason, Intent, Progress, Provider, State, abort},
    vendors::{CallOutcome, ToldTransfer, VendorCall, VendorError, VendorRole},
};
use serde_json::{Value, json};

use crate::{
    vendors::LOST_AFTER,
    world::{FREE_WEI, transfer},
};

mod execution_types;
mod refusals;
mod released;
mod repeats;
mod resealing;
mod scene;
mod settlement;

use scene::{Scene, id, name, name_of};

/// Runs a case for every provider, `none` with an escrow here and elsewhere; each has a world of its own.
async fn for_every_provider<F: Future<Output = ()>>(case: impl Fn(Scene) -> F) {
    for provider in [Provider::Hsm, Provider::Fireblocks, Provider::Privy, Provider::None] {
        case(Scene::new(provider).await).await;
    }
    case(Scene::elsewhere().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_transaction_goes_to_its_provider_once() {
    for_every_provider(async |scene: Scene| {
        let made = scene.propose(1).await.expect(201);
        let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
        assert_eq!(transaction.provider, scene.provider);
        for _ in 0..3 {
            scene.advance(&transaction).await;
        }
        let expected = match scene.provider {
            Provider::Hsm => (true, 0),
            Provider::Fireblocks | Provider::Privy => (true, 1),
            Provider::None => (false, 0),
        };
        assert_eq!(scene.released(&transaction).await, expected, "{:?}", scene.provider);
        let state = scene.stored(&name_of(&transaction)).await.state;
        match scene.provider {
            Provider::Hsm | Provider::Privy => assert!(matches!(state, State::Submitted { .. }), "{state:?}"),
            Provider::Fireblocks => assert!(matches!(state, State::HandedOver { .. }), "{state:?}"),
            Provider::None => assert_eq!(state, State::Approved),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_says_last_is_where_it_ends() {
    for succeeded in [true, false] {
        for_every_provider(async |scene: Scene| {
            let made = scene.propose(1).await.expect(201);
            let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
            let status = if succeeded { VendorStatus::Completed } else { VendorStatus::Failed };
            let expected = match (scene.provider, succeeded) {
                (Provider::None, _) => CoreStatus::Approved,
                (_, true) => CoreStatus::Executed,
                (_, false) => CoreStatus::Failed,
            };
            match scene.provider {
                Provider::Hsm | Provider::Privy => scene.world.node.mine(succeeded),
                Provider::Fireblocks => {
                    scene.world.vendors.fireblocks.say(&name_of(&transaction), status);
                }
                Provider::None => {}
            }
            assert_eq!(scene.advance(&transaction).await, Progress::Done, "{:?}", scene.provider);
            let state = scene.stored(&name_of(&transaction)).await.state;
            assert_eq!(CoreStatus::of(&state), expected, "{:?}: {state:?}", scene.provider);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_people_goes_nowhere() {
    for_every_provider(async |scene: Scene| {
        let made = scene.propose(FREE_WEI + 1).await.expect(201);
        assert_eq!(made["status"], "PENDING");
        let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await, (false, 0), "{:?}", scene.provider);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_rejects_goes_nowhere() {
    for_every_provider(async |scene: Scene| {
        scene.world.plugin.say(gateway_domain::evaluations::Verdict::Reject, "no", 1);
        let made = scene.propose(1).await.expect(201);
        assert_eq!(made["status"], "REJECTED");
        let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await, (false, 0), "{:?}", scene.provider);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_organization_holds_everything_until_it_is_thawed() {
    for_every_provider(async |scene: Scene| {
        let transaction = scene.held_up().await;
        let progress = scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await, (false, 0), "{:?}", scene.provider);
        if scene.provider != Provider::None {
            assert!(matches!(progress, Progress::Again(_)));
        }
        scene.freeze(false).await;
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await.0, scene.provider != Provider::None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_key_holds_everything_until_it_is_thawed() {
    for_every_provider(async |scene: Scene| {
        let transaction = scene.held_up().await;
        let key = transaction.intent.key;
        if scene.is_elsewhere {
            assert_eq!(key, Intent::NO_KEY, "there is no key to freeze");
            return;
        }
        set_key_frozen(&scene.ctx(), &scene.world.services, key, true).await.unwrap();
        scene.freeze(false).await;
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await, (false, 0), "{:?}", scene.provider);
        set_key_frozen(&scene.ctx(), &scene.world.services, key, false).await.unwrap();
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await.0, scene.provider != Provider::None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_goes_nowhere() {
    for_every_provider(async |scene: Scene| {
        let transaction = scene.held_up().await;
        let aborted = abort(&scene.ctx(), &scene.world.services, transaction.id).await.unwrap();
        assert_eq!(aborted.state, State::Aborted);
        scene.freeze(false).await;
        assert_eq!(scene.advance(&transaction).await, Progress::Done);
        assert_eq!(scene.released(&transaction).await, (false, 0), "{:?}", scene.provider);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_executed_in_time_goes_nowhere() {
    for_every_provider(async |scene: Scene| {
        let transaction = scene.held_up().await;
        scene.world.clock.advance(Duration::from_hours(48));
        scene.freeze(false).await;
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await, (false, 0), "{:?}", scene.provider);
        let state = scene.stored(&name_of(&transaction)).await.state;
        let expired = matches!(&state, State::Rejected { reason: DenialReason::Expired, .. });
        // Whoever executes elsewhere may have begun.
        assert!(expired || scene.provider == Provider::None, "{:?}: {state:?}", scene.provider);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_executed_once() {
    for_every_provider(async |scene: Scene| {
        let body = transfer(scene.escrow, 1);
        let ask = || scene.world.post("/transactions", &body).header("idempotency-key", "one");
        let made = ask().key(&scene.world, "admin").send().await.expect(201);
        let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
        scene.advance(&transaction).await;
        let once = scene.released(&transaction).await;
        let again = ask().key(&scene.world, "admin").send().await.expect(201);
        assert_eq!(again["requestHash"], made["requestHash"], "{:?}", scene.provider);
        scene.advance(&transaction).await;
        assert_eq!(scene.released(&transaction).await, once, "{:?}", scene.provider);
    })
    .await;
}

/// T24: whatever Fireblocks says first and second, the request is sent once, its name stays taken, and a final word
/// stays final.
#[tokio::test(flavor = "multi_thread")]
async fn no_pair_of_a_vendors_lies_sends_or_frees_anything() {
    let scene = Scene::new(Provider::Fireblocks).await;
    let vendor = &scene.world.vendors.fireblocks;
    let mut number = 0;
    for first in VendorStatus::ALL {
        for second in VendorStatus::ALL {
            number += 1;
            vendor.begin_with(*first);
            let case = format!("{} then {}", first.as_str(), second.as_str());
            let made = scene.order(number, number).await.expect(201);
            let external_id = name(number);
            let transaction = scene.stored(&external_id).await;
            scene.advance(&transaction).await;
            let told_first = scene.stored(&external_id).await.state;
            vendor.say(&external_id, *second);
            scene.world.clock.advance(Duration::from_mins(1));
            scene.advance(&transaction).await;
            let told_second = scene.stored(&external_id).await.state;
            if told_first.is_final() {
                assert_eq!(told_first, told_second, "{case}: a final state moved");
            }
            assert_eq!(vendor.posts(&external_id), 1, "{case}: it was sent again");
            let again = scene.order(number, number).await.expect(201);
            assert_eq!(again["id"], made["id"], "{case}: the name was freed");
            assert_eq!(scene.order(number, number + 1).await.status.as_u16(), 409, "{case}");
            assert_eq!(vendor.posts(&external_id), 1, "{case}: the repeat was sent");
        }
    }
    assert_eq!(number, u64::try_from(VendorStatus::ALL.len().pow(2)).unwrap());
}

/// T8: a stored request that is not the approved one is not sent, even if its seal is whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_differs_from_what_was_approved_is_not_sent() {
    let scene = Scene::new(Provider::Fireblocks).await;
    scene.freeze(true).await;
    scene.order(1, 1).await.expect(201);
    let transaction = scene.stored(&name(1)).await;
    let body = json!({"operation": "TRANSFER", "amount": "1000", "externalTxId": name(1)}).to_string();
    let call = VendorCall {
        id: id(VendorCallId::from_uuid),
        organization: transaction.organization,
        transaction: transaction.id,
        key: transaction.intent.key,
        method: "POST".to_owned(),
        uri: "/v1/transactions".to_owned(),
        digest: VendorCall::digest_of("POST", "/v1/transactions", body.as_bytes()),
        body: body.into_bytes(),
        external_id: name(1),
        outcome: CallOutcome::Prepared { unsettled: 0 },
        refused_since: None,
        version: 1,
        created_at: transaction.created_at,
    };
    let sealed = scene.world.services.sealer.seal(call);
    scene.commit(&scene.ctx(), [Write::InsertVendorCall(sealed)]).await;
    scene.freeze(false).await;
    assert_eq!(scene.advance(&transaction).await, Progress::Done);
    assert_eq!(scene.released(&transaction).await, (false, 0));
    let state = scene.stored(&name(1)).await.state;
    assert_eq!(state, State::Failed { reason: FailureReason::EvidenceInvalid });
}

/// T8: another account than the approved one does not pay.
#[tokio::test(flavor = "multi_thread")]
async fn the_account_that_was_judged_is_the_one_that_pays() {
    let scene = Scene::new(Provider::Fireblocks).await;
    let ctx = OpCtx::gateway(scene.world.organization, scene.world.services.clock.now());
    set_organization_frozen(&ctx, &scene.world.services, true).await.unwrap();
    let held = scene.order(1, 1).await.expect(201);
    assert_eq!(held["status"], "QUEUED");
    let services = &scene.world.services;
    let found =
        services.store.integration(ctx.organization, scene.owner, VendorRole::Execution).await.unwrap();
    let integration = found.unwrap().into_value();
    let Some(access) = integration.state.access().cloned() else { panic!("no access") };
    let moved = Access { vault_account: "1".to_owned(), ..access };
    let version = integration.version + 1;
    let edited = Integration { state: IntegrationState::Active(moved), version, ..integration };
    scene.commit(&ctx, [Write::UpdateIntegration(services.sealer.seal(edited))]).await;
    set_organization_frozen(&ctx, services, false).await.unwrap();
    let transaction = scene.stored(&name(1)).await;
    scene.advance(&transaction).await;
    assert_eq!(scene.world.vendors.fireblocks.posts(&name(1)), 0, "another account would have paid");
    let told: Value = scene.order(1, 1).await.expect(201);
    assert_eq!(told["status"], "QUEUED");
    // It does not wait for ever.
    scene.world.clock.advance(transaction.snapshot.expires_at.since(transaction.created_at));
    assert_eq!(scene.advance(&transaction).await, Progress::Done);
    let state = scene.stored(&name(1)).await.state;
    assert!(matches!(state, State::Rejected { reason: DenialReason::Expired, .. }), "{state:?}");
    assert_eq!(scene.world.vendors.fireblocks.posts(&name(1)), 0);
}

/// What Fireblocks has is followed with the credentials that took the place of those it was sent with.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_outlives_the_credentials_it_was_sent_with() {
    let scene = Scene::new(Provider::Fireblocks).await;
    scene.order(1, 1).await.expect(201);
    let transaction = scene.stored(&name(1)).await;
    scene.advance(&transaction).await;
    scene.forget_access().await;
    let vendor = &scene.world.vendors.fireblocks;
    vendor.say(&name(1), VendorStatus::Completed);
    assert!(
        matches!(scene.advance(&transaction).await, Progress::Again(_)),
        "there is no API key to ask with"
    );
    scene.complete_anew("1").await;
    assert_eq!(scene.advance(&transaction).await, Progress::Done);
    let state = scene.stored(&name(1)).await.state;
    assert!(matches!(state, State::ExecutedByVendor { .. }), "{state:?}");
}

/// Every last word of Fireblocks but COMPLETED fails the transaction with a reason of its own, and both surfaces say so.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_fireblocks_last_words_is_told_as_it_was_said() {
    for (status, reason, word) in [
        (VendorStatus::Cancelled, "vendor_cancelled", "CANCELLED"),
        (VendorStatus::Blocked, "vendor_blocked", "BLOCKED"),
        (VendorStatus::Rejected, "vendor_rejected", "REJECTED"),
        (VendorStatus::Failed, "vendor_failed", "FAILED"),
        (VendorStatus::TimedOut, "vendor_timed_out", "TIMEOUT"),
    ] {
        let scene = Scene::new(Provider::Fireblocks).await;
        scene.order(1, 1).await.expect(201);
        let transaction = scene.stored(&name(1)).await;
        let vendor = &scene.world.vendors.fireblocks;
        vendor.say(&name(1), VendorStatus::Cancelling);
        assert!(matches!(scene.advance(&transaction).await, Progress::Again(_)), "{word}");
        assert_eq!(scene.order(1, 1).await.expect(201)["status"], "CANCELLING");
        vendor.say(&name(1), status);
        assert_eq!(scene.advance(&transaction).await, Progress::Done, "{word}");
        let path = format!("/transactions/users/{}", scene.wallet.address());
        let listed = scene.world.get(&path).key(&scene.world, "admin").send().await.expect(200);
        let told = (&listed[0]["status"], &listed[0]["failureReason"]);
        assert_eq!(told, (&json!("FAILED"), &json!(reason)));
        assert_eq!(scene.order(1, 1).await.expect(201)["status"], word);
        assert_eq!(vendor.posts(&name(1)), 1, "{word}: sent again");
    }
}

/// What nobody can ask about any more ends, and neither its name nor what it counts against is freed.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_new_credentials_do_not_show_ends_in_time() {
    for (is_sent, is_completed) in [(true, true), (true, false), (false, true)] {
        let scene = Scene::new(Provider::Fireblocks).await;
        let vendor = &scene.world.vendors.fireblocks;
        vendor.is_silent.store(!is_sent, Ordering::SeqCst);
        scene.order(1, 1).await.expect(201);
        let transaction = scene.stored(&name(1)).await;
        scene.forget_access().await;
        if is_completed {
            scene.complete_anew("1").await;
        }
        vendor.hides.store(true, Ordering::SeqCst);
        scene.world.clock.advance(LOST_AFTER.saturating_sub(Duration::from_mins(2)));
        assert!(matches!(scene.advance(&transaction).await, Progress::Again(_)));
        let state = scene.stored(&name(1)).await.state;
        assert!(!state.is_final(), "{is_sent} {is_completed}: {state:?}");
        scene.world.clock.advance(Duration::from_mins(3));
        assert_eq!(scene.advance(&transaction).await, Progress::Done);
        let state = scene.stored(&name(1)).await.state;
        assert_eq!(state, State::Failed { reason: FailureReason::VendorLost }, "{is_sent} {is_completed}");
        assert_eq!(scene.order(1, 2).await.status.as_u16(), 409, "the name is taken");
        assert_eq!(vendor.posts(&name(1)), 1);
    }
}

/// Somebody else's transaction under our external id is not ours.
#[tokio::test(flavor = "multi_thread")]
async fn what_moves_something_else_is_not_taken_for_ours() {
    let word = |text: &str| Some(text.to_owned());
    let told = ToldTransfer {
        asset: word("ETH_TEST5"),
        vault_account: word("0"),
        destination: word("0x4242424242424242424242424242424242424242"),
        amount: word("0.0000000000000000010"),
    };
    let elsewhere = word("0x4343434343434343434343434343434343434343");
    let other_vault = ToldTransfer { vault_account: word("1"), ..told.clone() };
    for (transfer, is_ours) in [
        (told.clone(), true),
        (ToldTransfer { destination: elsewhere, ..told.clone() }, false),
        (ToldTransfer { destination: word("nowhere"), ..told.clone() }, false),
        (ToldTransfer { amount: word("1"), ..told.clone() }, false),
        (ToldTransfer { asset: word("BTC"), ..told }, false),
        (other_vault, false),
    ] {
        let scene = Scene::new(Provider::Fireblocks).await;
        let vendor = &scene.world.vendors.fireblocks;
        vendor.is_silent.store(true, Ordering::SeqCst);
        scene.order(1, 1).await.expect(201);
        let transaction = scene.stored(&name(1)).await;
        *vendor.transfer.lock().unwrap() = transfer.clone();
        scene.advance(&transaction).await;
        let state = scene.stored(&name(1)).await.state;
        if is_ours {
            assert!(matches!(state, State::HandedOver { .. }), "{state:?}");
        } else {
            assert_eq!(state, State::Failed { reason: FailureReason::VendorFailed }, "{transfer:?}");
        }
        assert_eq!(vendor.posts(&name(1)), 1);
    }
}

/// Of a vendor's key only the chain knows what it was used for; of ours we do.
#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_at_a_vendor_goes_on_after_nonces_that_are_not_ours() {
    for (provider, goes_on) in [(Provider::Privy, true), (Provider::Hsm, false)] {
        let scene = Scene::new(provider).await;
        scene.world.node.nonce.store(7, Ordering::SeqCst);
        let made = scene.propose(1).await.expect(201);
        let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
        scene.advance(&transaction).await;
        let state = scene.stored(&name_of(&transaction)).await.state;
        assert_eq!(matches!(state, State::Submitted { .. }), goes_on, "{provider:?}: {state:?}");
        if goes_on {
            assert_eq!(*scene.world.vendors.privy.nonces.lock().unwrap(), [7]);
        }
    }
}

/// A vendor may keep back what it signed: whatever comes next has the same nonce, so that one of the two can execute at
/// most.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_vendor_may_have_signed_and_what_comes_next_exclude_each_other() {
    let scene = Scene::new(Provider::Privy).await;
    let privy = &scene.world.vendors.privy;
    privy.lies.store(true, Ordering::SeqCst);
    let made = scene.propose(1).await.expect(201);
    let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
    scene.advance(&transaction).await;
    let state = scene.stored(&name_of(&transaction)).await.state;
    assert_eq!(state, State::Failed { reason: FailureReason::VendorFailed });
    privy.lies.store(false, Ordering::SeqCst);
    let made = scene.propose(2).await.expect(201);
    let next = scene.stored(made["requestHash"].as_str().unwrap()).await;
    scene.advance(&next).await;
    let nonces = privy.nonces.lock().unwrap().clone();
    assert_eq!(nonces, [0, 0]);
    // The first was executed after all: the wallet goes on behind it.
    scene.world.node.nonce.store(1, Ordering::SeqCst);
    let made = scene.propose(3).await.expect(201);
    let last = scene.stored(made["requestHash"].as_str().unwrap()).await;
    scene.advance(&last).await;
    assert_eq!(privy.nonces.lock().unwrap().last(), Some(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_wallet_at_the_escrow_address_privy_signs_nothing_and_that_is_said() {
    let scene = Scene::new(Provider::Privy).await;
    *scene.world.vendors.privy.fails.lock().unwrap() =
        Some(|| VendorError::Refused { http_status: 404, code: None });
    let made = scene.propose(1).await.expect(201);
    let transaction = scene.stored(made["requestHash"].as_str().unwrap()).await;
    scene.advance(&transaction).await;
    let state = scene.stored(&name_of(&transaction)).await.state;
    assert_eq!(state, State::Failed { reason: FailureReason::VendorWalletMissing });
    assert_eq!(*scene.world.vendors.privy.asked.lock().unwrap(), 1, "it is not asked again");
}

/// Who names no vendor in the request is told that theirs cannot be used, and who does that there is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_cannot_be_used_is_a_conflict_with_the_users_settings() {
    let scene = Scene::new(Provider::Fireblocks).await;
    scene.order(1, 1).await.expect(201);
    scene.forget_access().await;
    let refused = scene.propose(1).await;
    refused.expect(409);
    assert_eq!(refused.message(), "the user has no active Fireblocks integration of that type");
    scene.order(2, 1).await.expect(404);
    // An equal request gets what was made, whoever repeats it and whatever the user's settings say by now.
    scene.choose_chain(1).await;
    let again = scene.order(1, 1).await.expect(201);
    assert_eq!(again["requestHash"], name(1));
    scene.order(1, 2).await.expect(409);
}
