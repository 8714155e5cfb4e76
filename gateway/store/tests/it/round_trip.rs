use std::{collections::BTreeSet, time::Duration};

use gateway_domain::{
    U256,
    changes::{Contested, Idempotency, ReplayGuard, Write},
    identity::{Escrow, User},
    ids::{TransactionId, VendorCallId},
    keys::{KeyPurpose, WalletKeys},
    outbox::OutboxItem,
    payloads::SessionKeyClaim,
    policy::DenialReason,
    ports::{
        CredentialReads, DecisionReads, IdentityReads, KeyReads, OutboxQueue, PolicyReads, RecipientHistory,
        RegistrationReads, TransactionFilter, TransactionReads, VendorReads, VerificationReads,
    },
    quorums::{PrivyQuorum, QuorumType},
    transactions::{AttemptOutcome, Intent, State, Transaction},
    vendors::{CallOutcome, VendorRole},
};

use crate::{
    database::{Database, instance, on_both_engines},
    world::{
        PLENTY, World, address, contested, hash, id, now,
        published::{PLENTY_OF_PAYLOADS, block_root, sample_room},
        sample_transaction,
    },
};

on_both_engines!(
    every_entity_reads_back_as_it_was_written,
    what_was_published_reads_back,
    a_session_key_packet_is_stored_once_whoever_sends_it,
    updates_read_back_with_their_version,
    transactions_are_listed_newest_first_and_filtered,
    executions_and_denials_are_counted_by_recipient,
    what_is_executed_elsewhere_is_known_by_report,
    a_newer_failure_does_not_hide_a_success,
    guards_and_outbox_items_read_back,
    vendors_read_back_and_change_once,
);

async fn every_entity_reads_back_as_it_was_written(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let organization = world.organization.id;
    let transaction = world.transaction.id;

    assert_eq!(*store.organization(organization).await.unwrap().unwrap(), world.organization);
    assert_eq!(*store.user(organization, world.user.id).await.unwrap().unwrap(), world.user);
    let by_address = store.user_by_address(organization, world.user.ethereum_address).await.unwrap();
    assert_eq!(*by_address.unwrap(), world.user);
    let by_escrow = store.user_by_escrow_address(organization, world.key.address.unwrap()).await.unwrap();
    assert_eq!(*by_escrow.unwrap(), world.user);
    assert_eq!(*store.settings(organization, world.user.id).await.unwrap().unwrap(), world.settings);
    assert_eq!(*store.principals(organization, &[world.principal.id]).await.unwrap()[0], world.principal);
    assert_eq!(*store.api_key_by_public_id(&world.api_key.public_id).await.unwrap().unwrap(), world.api_key);
    assert_eq!(*store.api_keys(organization, &[world.api_key.id]).await.unwrap()[0], world.api_key);
    assert_eq!(*store.api_key_list(organization).await.unwrap()[0], world.api_key);
    assert_eq!(*store.role_keys(organization, now()).await.unwrap()[0], world.api_key);
    assert_eq!(*store.key(organization, world.key.id).await.unwrap().unwrap(), world.key);
    assert_eq!(*store.key_list(organization).await.unwrap()[0], world.key);
    let one = WalletKeys { count: 1, self_registered: 0 };
    assert_eq!(store.wallet_keys(organization).await.unwrap(), one);
    assert!(store.address_is_hsm_key(world.key.address.unwrap()).await.unwrap());
    assert!(!store.address_is_hsm_key(address()).await.unwrap());
    assert_eq!(*store.policy(organization).await.unwrap().unwrap(), world.policy);
    assert_eq!(
        *store.plugin_revision(organization, world.revision.id).await.unwrap().unwrap(),
        world.revision
    );
    assert_eq!(*store.plugin_revision_list(organization, None, 10).await.unwrap()[0], world.revision);
    let component = store.component(world.revision.component_digest).await.unwrap();
    assert_eq!(component.unwrap(), b"\0asm component");
    assert_eq!(*store.transaction(organization, transaction).await.unwrap().unwrap(), world.transaction);
    let by_hash =
        store.transaction_by_request_hash(organization, world.transaction.request_hash).await.unwrap();
    assert_eq!(*by_hash.unwrap(), world.transaction);
    assert_eq!(*store.evaluations(organization, transaction).await.unwrap()[0], world.evaluation);
    assert_eq!(*store.votes(organization, transaction).await.unwrap()[0], world.vote);
    assert_eq!(*store.attempts(organization, transaction).await.unwrap()[0], world.attempt);
    assert_eq!(*store.permits(organization, transaction).await.unwrap()[0], world.permit);
}

async fn what_was_published_reads_back(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let (organization, transaction) = (world.organization.id, world.transaction.id);
    let registration = &world.registration;
    let by_id = store.registration(organization, registration.id).await.unwrap().unwrap();
    let current = store.current_registration(organization, world.user.id).await.unwrap().unwrap();
    let by_fingerprint = store.registration_by_fingerprint(organization, registration.fingerprint).await;
    for found in [by_id, current, by_fingerprint.unwrap().unwrap()] {
        assert_eq!(*found, *registration);
    }
    assert_eq!(*store.relay(organization, world.relay.id).await.unwrap().unwrap(), world.relay);
    let held = store.held_nonces(world.relay.chain, world.relay.address, 0).await.unwrap();
    assert_eq!(held, [world.relay.nonce]);
    assert_eq!(*store.verification_services(organization).await.unwrap()[0], world.service);
    let service = store.verification_service(organization, world.service.id).await.unwrap();
    assert_eq!(*service.unwrap(), world.service);
    let payload = store.encrypted_payload(organization, transaction).await.unwrap();
    assert_eq!(*payload.unwrap(), world.payload);
    assert_eq!(store.ipfs_block(block_root()).await.unwrap().unwrap(), b"a block");
    let metadata = store.orion_metadata(organization, transaction).await.unwrap();
    assert_eq!(*metadata.unwrap(), world.metadata);
    let (key, digest) = (world.claim.service_key, world.claim.session_key_digest);
    assert_eq!(store.session_key_claim(key, digest).await.unwrap(), Some(world.claim));
    assert_eq!(store.session_key_claim(key, hash()).await.unwrap(), None);
}

async fn a_session_key_packet_is_stored_once_whoever_sends_it(database: &Database) {
    let store = database.store().await;
    let (world, mut other) = (World::decided(&store).await, World::founded(&store).await);
    other.payload.service_key = world.payload.service_key;
    other.payload.session_key_digest = world.payload.session_key_digest;
    let insert = Write::InsertEncryptedPayload(other.seal(&other.payload));
    assert_eq!(contested(other.commit(&store, [insert]).await), Contested::SessionKey);
    let claim = Write::ClaimSessionKey(
        SessionKeyClaim { organization: other.organization.id, ..world.claim },
        sample_room(&other.user, PLENTY_OF_PAYLOADS),
    );
    assert_eq!(contested(other.commit(&store, [claim]).await), Contested::SessionKey);
}

async fn updates_read_back_with_their_version(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let organization =
        gateway_domain::identity::Organization { frozen: true, version: 2, ..world.organization.clone() };
    let principal =
        gateway_domain::identity::Principal { active: false, version: 2, ..world.principal.clone() };
    let user =
        User { escrow: Some(Escrow::Foreign { address: address() }), version: 2, ..world.user.clone() };
    let api_key =
        gateway_domain::credentials::ApiKey { revoked_at: Some(now()), version: 2, ..world.api_key.clone() };
    let key = gateway_domain::keys::KeyRecord { frozen: true, version: 2, ..world.key.clone() };
    let transaction = world.transaction.moved_to(State::Signed { attempt: world.attempt.id }, now());
    let attempt = world.attempt.with_outcome(AttemptOutcome::Signed { raw: vec![1, 2], hash: hash() });
    let writes = [
        Write::UpdateOrganization(world.seal(&organization)),
        Write::UpdatePrincipal(world.seal(&principal)),
        Write::UpdateUser(world.seal(&user)),
        Write::UpdateApiKey(world.seal(&api_key)),
        Write::UpdateKey(world.seal(&key)),
        Write::UpdateTransaction(world.seal(&transaction)),
        Write::UpdateAttempt(world.seal(&attempt)),
    ];
    world.commit(&store, writes).await.unwrap();

    let id = organization.id;
    assert_eq!(*store.organization(id).await.unwrap().unwrap(), organization);
    assert_eq!(*store.principals(id, &[principal.id; 40]).await.unwrap()[0], principal);
    assert_eq!(*store.user(id, user.id).await.unwrap().unwrap(), user);
    assert_eq!(*store.api_key_list(id).await.unwrap()[0], api_key);
    assert!(store.role_keys(id, now()).await.unwrap().is_empty());
    assert_eq!(*store.key(id, key.id).await.unwrap().unwrap(), key);
    assert_eq!(*store.transaction(id, transaction.id).await.unwrap().unwrap(), transaction);
    assert_eq!(*store.attempts(id, transaction.id).await.unwrap()[0], attempt);
}

async fn transactions_are_listed_newest_first_and_filtered(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let (organization, owner) = (world.organization.id, world.user.id);
    let later: Vec<Transaction> = (1..=3)
        .map(|minutes| {
            let at = world.transaction.created_at.plus(Duration::from_mins(minutes));
            let state = if minutes == 2 { State::Aborted } else { State::Pending };
            Transaction { state, ..sample_transaction(&world.user, &world.key, at) }
        })
        .collect();
    world.commit(&store, later.iter().map(|one| Write::InsertTransaction(world.seal(one)))).await.unwrap();

    let list = async |filter: TransactionFilter| {
        let found = store.transactions_of(organization, owner, &filter).await.unwrap();
        found.iter().map(|transaction| transaction.id).collect::<Vec<_>>()
    };
    let all = list(TransactionFilter { limit: 10, ..TransactionFilter::default() }).await;
    assert_eq!(all, [later[2].id, later[1].id, later[0].id, world.transaction.id]);
    let open = async |limit| {
        let found = store.open_transactions(organization, limit).await.unwrap();
        found.iter().map(|transaction| transaction.id).collect::<Vec<_>>()
    };
    assert_eq!(open(10).await, [world.transaction.id, later[0].id, later[2].id], "oldest first");
    assert_eq!(open(1).await, [world.transaction.id]);
    let before = Some(later[1].created_at);
    let page = list(TransactionFilter { before, limit: 1, ..TransactionFilter::default() }).await;
    assert_eq!(page, [later[0].id]);
    let aborted =
        TransactionFilter { states: vec!["aborted", "failed"], limit: 10, ..TransactionFilter::default() };
    assert_eq!(list(aborted).await, [later[1].id]);
}

async fn executions_and_denials_are_counted_by_recipient(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let own = &world.transaction.intent;
    let intent = &Intent { transaction: id(TransactionId::from_uuid), ..own.clone() };
    let since = world.transaction.created_at.minus(Duration::from_secs(1));
    let history = async |intent: &Intent| store.recipient_history(intent, since).await.unwrap();
    assert_eq!(history(intent).await, RecipientHistory::default());

    let denied = State::Rejected {
        reason: DenialReason::Plugin,
        detail: "no".into(),
        rejected_by: BTreeSet::default(),
    };
    let rejected = world.transaction.moved_to(denied, now());
    world.commit(&store, [Write::UpdateTransaction(world.seal(&rejected))]).await.unwrap();
    assert_eq!(history(intent).await, RecipientHistory { executed: 0, denied: 1 });
    assert_eq!(history(own).await.denied, 0, "a transaction is not its own past");
    let other_amount = Intent { value: U256::ZERO, data: vec![0, 255, 3], ..intent.clone() };
    assert_eq!(history(&other_amount).await.denied, 1);
    for data in [vec![], vec![0, 255], vec![0, 255, 3, 0], vec![1, 255, 3]] {
        let other_function = Intent { data, ..intent.clone() };
        assert_eq!(history(&other_function).await.denied, 0);
    }
    assert_eq!(store.recipient_history(intent, world.transaction.created_at).await.unwrap().denied, 0);

    let mut last = rejected;
    for (state, executed) in ends(&world) {
        last = last.moved_to(state, now());
        world.commit(&store, [Write::UpdateTransaction(world.seal(&last))]).await.unwrap();
        assert_eq!(history(intent).await, RecipientHistory { executed, denied: 0 }, "{:?}", last.state);
    }
    let elsewhere = Intent { to: Some(address()), ..intent.clone() };
    assert_eq!(history(&elsewhere).await, RecipientHistory::default());
}

/// Ends of a transaction by a key of ours, and whether they make its recipient known.
fn ends(world: &World) -> [(State, u64); 4] {
    let executed = |reverted| State::Executed { attempt: world.attempt.id, hash: hash(), block: 9, reverted };
    [
        (executed(true), 0),
        // Whoever reports what somebody else did makes nobody known to our keys.
        (State::Settled { hash: hash(), block: None }, 0),
        (State::ExecutedByVendor { call: id(VendorCallId::from_uuid), hash: None }, 1),
        (executed(false), 1),
    ]
}

async fn what_is_executed_elsewhere_is_known_by_report(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let mut elsewhere = sample_transaction(&world.user, &world.key, now());
    elsewhere.intent.key = Intent::NO_KEY;
    elsewhere.state = State::Settled { hash: hash(), block: None };
    world.commit(&store, [Write::InsertTransaction(world.seal(&elsewhere))]).await.unwrap();
    let next = Intent { transaction: id(TransactionId::from_uuid), ..elsewhere.intent.clone() };
    let known = RecipientHistory { executed: 1, denied: 0 };
    assert_eq!(store.recipient_history(&next, now()).await.unwrap(), known);
    let by_our_key = Intent { key: world.key.id, ..next };
    assert_eq!(store.recipient_history(&by_our_key, now()).await.unwrap(), RecipientHistory::default());
}

async fn a_newer_failure_does_not_hide_a_success(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let at = |minutes: u64| now().plus(Duration::from_mins(minutes));
    let paid = [false, true].map(|reverted| {
        let mut made = sample_transaction(&world.user, &world.key, at(u64::from(reverted)));
        made.state = State::Executed { attempt: world.attempt.id, hash: hash(), block: 9, reverted };
        made
    });
    let writes = paid.iter().map(|made| Write::InsertTransaction(world.seal(made)));
    world.commit(&store, writes).await.unwrap();
    let next = Intent { transaction: id(TransactionId::from_uuid), ..paid[0].intent.clone() };
    assert_eq!(store.recipient_history(&next, at(2)).await.unwrap().executed, 1);
}

async fn guards_and_outbox_items_read_back(database: &Database) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    let (organization, principal) = (world.organization.id, world.principal.id);
    let idempotency = Idempotency {
        organization,
        principal,
        operation: "transactions:create".into(),
        key: "k".into(),
        body_hash: hash(),
        outcome: "tx".into(),
        expires_at: now().plus(Duration::from_mins(1)),
    };
    let guard = ReplayGuard {
        organization,
        signer: "0x1".into(),
        signed_hash: hash(),
        expires_at: idempotency.expires_at,
    };
    let item = OutboxItem::advance(organization, world.transaction.id, now());
    let writes = [
        Write::InsertIdempotency(idempotency.clone()),
        Write::InsertReplayGuard(guard.clone()),
        Write::ScheduleOutbox(item.clone()),
    ];
    world.commit(&store, writes).await.unwrap();

    assert!(store.was_replayed(&guard).await.unwrap());
    assert!(!store.was_replayed(&ReplayGuard { signed_hash: hash(), ..guard }).await.unwrap());
    let found = store.idempotency(organization, principal, &idempotency.operation, "k", now()).await.unwrap();
    assert_eq!(found, Some(idempotency.clone()));
    let late = idempotency.expires_at;
    let expired =
        store.idempotency(organization, principal, &idempotency.operation, "k", late).await.unwrap();
    assert_eq!(expired, None);
    assert_eq!(store.next_due().await.unwrap(), Some(Duration::ZERO));
    let claimed = store.claim(instance(1), Duration::from_secs(30), 10).await.unwrap();
    assert_eq!((claimed[0].item.id, claimed[0].item.job, claimed[0].tries), (item.id, item.job, 0));
}

async fn vendors_read_back_and_change_once(database: &Database) {
    let store = database.store().await;
    let world = World::decided(&store).await;
    let (organization, owner) = (world.organization.id, world.user.id);
    let stored = store.integration(organization, owner, VendorRole::Agent).await.unwrap().unwrap();
    assert_eq!(*stored, world.integration);
    assert!(store.integration(organization, owner, VendorRole::Execution).await.unwrap().is_none());
    assert_eq!(*store.integrations(organization, owner).await.unwrap()[0], world.integration);
    let second = Write::InsertIntegration(world.seal(&world.integration), PLENTY.organization);
    contested(world.commit(&store, [second]).await);

    let calls = store.vendor_calls(organization, world.transaction.id).await.unwrap();
    assert_eq!(*calls[0], world.call);
    let refused = world.call.with_outcome(CallOutcome::Refused { http_status: 400, code: Some(1438) });
    world.commit(&store, [Write::UpdateVendorCall(world.seal(&refused))]).await.unwrap();
    let again = world.commit(&store, [Write::UpdateVendorCall(world.seal(&refused))]).await;
    assert_eq!(contested(again), Contested::Version);

    let quorum = store.quorum(organization, owner, QuorumType::Execution).await.unwrap().unwrap();
    assert_eq!(*quorum, world.quorum);
    let other = PrivyQuorum { quorum_id: "other".into(), version: 2, ..world.quorum.clone() };
    world.commit(&store, [Write::UpdateQuorum(world.seal(&other))]).await.unwrap();
    let stale = world.commit(&store, [Write::DeleteQuorum(world.seal(&world.quorum))]).await;
    assert_eq!(contested(stale), Contested::Version);
    world.commit(&store, [Write::DeleteQuorum(world.seal(&other))]).await.unwrap();
    assert!(store.quorum(organization, owner, QuorumType::Execution).await.unwrap().is_none());
    assert_eq!(*store.purpose_key(organization, KeyPurpose::Wallet).await.unwrap().unwrap(), world.key);
    assert!(store.purpose_key(organization, KeyPurpose::PrivyAuthorization).await.unwrap().is_none());
}
