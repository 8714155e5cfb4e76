use gateway_domain::{
    changes::{Contested, Write},
    identity::Organization,
    ids::TransactionId,
    keys::KeyRecord,
    ports::{
        CredentialReads, DecisionReads, IdentityReads, KeyReads, PluginStateReads, PolicyReads,
        RegistrationReads, TransactionFilter, TransactionReads, VaultReads, VendorReads, VerificationReads,
    },
};

use crate::{
    database::{Database, on_both_engines},
    world::{World, contested, now, sample_permit},
};

on_both_engines!(
    nothing_of_one_organization_is_read_through_another,
    an_update_through_another_organization_changes_nothing,
    one_organization_may_reuse_what_another_holds,
);

async fn nothing_of_one_organization_is_read_through_another(database: &Database) {
    let store = database.store().await;
    let (ours, theirs) = (World::decided(&store).await, World::founded(&store).await);
    let (other, transaction) = (theirs.organization.id, ours.transaction.id);

    assert!(store.user(other, ours.user.id).await.unwrap().is_none());
    assert!(store.user_by_address(other, ours.user.ethereum_address).await.unwrap().is_none());
    let escrow = ours.key.address.unwrap();
    assert!(store.user_by_escrow_address(other, escrow).await.unwrap().is_none());
    assert!(store.settings(other, ours.user.id).await.unwrap().is_none());
    assert!(store.principals(other, &[ours.principal.id]).await.unwrap().is_empty());
    assert!(store.api_keys(other, &[ours.api_key.id]).await.unwrap().is_empty());
    assert_eq!(store.api_key_list(other).await.unwrap().len(), 1);
    assert_eq!(store.role_keys(other, now()).await.unwrap()[0].id, theirs.api_key.id);
    assert!(store.key(other, ours.key.id).await.unwrap().is_none());
    assert!(store.vault(other, ours.vault.id).await.unwrap().is_none());
    assert_eq!(store.vault_by_name(other, &ours.vault.name).await.unwrap().unwrap().id, theirs.vault.id);
    assert_eq!(store.vault_list(other, None, 10).await.unwrap().len(), 1);
    assert_eq!(store.vault_count(other).await.unwrap(), 1);
    assert_eq!(store.key_list(other).await.unwrap().len(), 1);
    assert_eq!(store.wallet_keys(other).await.unwrap().count, 1);
    assert_eq!(*store.policy(other).await.unwrap().unwrap(), theirs.policy);
    assert!(store.plugin_revision(other, ours.revision.id).await.unwrap().is_none());
    assert_eq!(store.plugin_revision_list(other, None, 10).await.unwrap().len(), 1);
    assert!(store.transaction(other, transaction).await.unwrap().is_none());
    assert!(store.transaction_by_request_hash(other, ours.transaction.request_hash).await.unwrap().is_none());
    let all = TransactionFilter { limit: 10, ..TransactionFilter::default() };
    assert!(store.transactions_of(other, ours.user.id, &all).await.unwrap().is_empty());
    assert!(store.votes(other, transaction).await.unwrap().is_empty());
    assert!(store.evaluations(other, transaction).await.unwrap().is_empty());
    let first = TransactionId::from_uuid(uuid::Uuid::nil());
    assert_eq!(store.evaluated_transactions(ours.organization.id, first, 10).await.unwrap(), [transaction]);
    assert!(store.evaluated_transactions(ours.organization.id, transaction, 10).await.unwrap().is_empty());
    assert_eq!(store.evaluated_transactions(other, first, 10).await.unwrap(), []);
    assert!(store.permits(other, transaction).await.unwrap().is_empty());
    assert!(store.attempts(other, transaction).await.unwrap().is_empty());
    let lineage = ours.state.lineage;
    assert!(store.plugin_state(other, lineage, &ours.state.name).await.unwrap().is_none());
    assert_eq!(store.plugin_state_rows(other, lineage).await.unwrap(), 0);
    let owner = ours.user.id;
    assert!(store.integration(other, owner, ours.integration.role).await.unwrap().is_none());
    assert!(store.integrations(other, owner).await.unwrap().is_empty());
    assert!(store.quorum(other, owner, ours.quorum.kind).await.unwrap().is_none());
    assert!(store.vendor_calls(other, transaction).await.unwrap().is_empty());
    let authorization = store.purpose_key(other, ours.key.purpose).await.unwrap().unwrap();
    assert_eq!(authorization.id, theirs.key.id);
    assert!(store.registration(other, ours.registration.id).await.unwrap().is_none());
    assert!(store.current_registration(other, ours.user.id).await.unwrap().is_none());
    let fingerprint = ours.registration.fingerprint;
    assert!(store.registration_by_fingerprint(other, fingerprint).await.unwrap().is_none());
    assert!(store.relay(other, ours.relay.id).await.unwrap().is_none());
    assert!(store.verification_services(other).await.unwrap().is_empty());
    assert!(store.verification_service(other, ours.service.id).await.unwrap().is_none());
    assert!(store.encrypted_payload(other, transaction).await.unwrap().is_none());
    assert!(store.orion_metadata(other, transaction).await.unwrap().is_none());
}

async fn an_update_through_another_organization_changes_nothing(database: &Database) {
    let store = database.store().await;
    let (ours, theirs) = (World::founded(&store).await, World::founded(&store).await);
    let stolen = KeyRecord { organization: theirs.organization.id, version: 2, ..ours.key.clone() };
    let update = Write::UpdateKey(ours.seal(&stolen));
    assert_eq!(contested(ours.commit(&store, [update]).await), Contested::Version);

    let foreign_key = sample_permit(&ours.transaction, &ours.attempt, now());
    let foreign_key = gateway_domain::policy::PermitRecord { key: theirs.key.id, ..foreign_key };
    let insert = Write::InsertPermit(ours.seal(&foreign_key));
    assert_eq!(contested(ours.commit(&store, [insert]).await), Contested::Permit);
    assert_eq!(*store.key(ours.organization.id, ours.key.id).await.unwrap().unwrap(), ours.key);
}

async fn one_organization_may_reuse_what_another_holds(database: &Database) {
    let store = database.store().await;
    let (ours, mut theirs) = (World::founded(&store).await, World::new());
    theirs.user.ethereum_address = ours.user.ethereum_address;
    theirs.transaction.request_hash = ours.transaction.request_hash;
    theirs.organization = Organization { name: ours.organization.name.clone(), ..theirs.organization };
    theirs.commit(&store, theirs.foundation()).await.unwrap();
}
