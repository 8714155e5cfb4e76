use std::time::Duration;

use gateway_domain::{
    changes::{Contested, OperatorWrite, UserCondition, Write},
    credentials::{ApiKey, Label},
    fireblocks::Integration,
    identity::{Organization, Principal, User},
    ids::{CredentialId, PrincipalId, RelayId},
    keys::{KeyRecord, KeyState},
    operators::Charter,
    policy::{PermitRecord, Policy, PolicyHead},
    ports::DecisionReads,
    registry::{Relay, RelayOutcome},
    transactions::State,
};
use gateway_store::Store;

use crate::{
    database::{Database, on_both_engines},
    world::{PLENTY, World, address, contested, hash, id, now, past, published::relay_quota},
};

on_both_engines!(
    no_permit_after_the_policy_head_moved,
    no_permit_after_the_transaction_moved,
    no_release_after_authority_or_policy_moved,
    no_permit_in_a_frozen_organization,
    no_permit_for_a_frozen_key,
    no_registry_call_under_conditions_that_allow_no_permit,
    no_permit_for_a_retired_or_unfinished_key,
    no_permit_after_somebody_lost_authority,
    what_another_user_loses_is_no_loss_here,
    an_integration_that_changed_costs_one_permit_and_not_all,
    a_permit_waits_for_a_loss_of_authority_under_way_and_loses_to_it,
    no_permit_that_has_expired_already,
    no_second_permit_for_a_digest,
    an_expired_permit_is_renewed_once_and_under_the_same_conditions,
    a_permit_that_was_given_back_is_renewed_at_once,
    a_permit_holds_at_the_version_its_own_change_set_makes,
);

async fn ready(database: &Database) -> (Store, Box<World>) {
    let store = database.store().await;
    let world = World::founded(&store).await;
    world.commit(&store, [Write::InsertAttempt(world.seal(&world.attempt))]).await.unwrap();
    (store, world)
}

async fn refused_after(database: &Database, change: impl Fn(&World) -> Vec<Write>) {
    let (store, world) = ready(database).await;
    world.commit(&store, change(&world)).await.unwrap();
    let insert = Write::InsertPermit(world.seal(&world.permit));
    assert_eq!(contested(world.commit(&store, [insert]).await), Contested::Permit);
    assert!(store.permits(world.organization.id, world.transaction.id).await.unwrap().is_empty());
}

fn move_head(world: &World) -> Vec<Write> {
    let policy = Policy { revision: 2, ..world.policy.clone() };
    let head = PolicyHead { organization: world.organization.id, revision: 2 };
    vec![Write::InsertPolicy(world.seal(&policy)), Write::MovePolicyHead(world.seal(&head))]
}

async fn no_permit_after_the_policy_head_moved(database: &Database) {
    refused_after(database, move_head).await;
}

/// An approval that no permit follows rests on what a permit rests on.
async fn no_release_after_authority_or_policy_moved(database: &Database) {
    let (store, world) = ready(database).await;
    let owner = (world.organization.id, world.transaction.owner);
    let (policy_revision, standing_revision) = (world.permit.policy_revision, world.permit.standing_revision);
    let holds = |policy_revision, standing_revision| {
        let condition = UserCondition::Authority { policy_revision, standing_revision };
        world.commit(&store, [Write::RequireUser(owner, condition)])
    };
    holds(policy_revision, standing_revision).await.unwrap();
    assert_eq!(contested(holds(policy_revision, standing_revision + 1).await), Contested::Version);
    world.commit(&store, move_head(&world)).await.unwrap();
    assert_eq!(contested(holds(policy_revision, standing_revision).await), Contested::Version);
    holds(policy_revision + 1, standing_revision).await.unwrap();

    let frozen = Organization { frozen: true, version: 2, ..world.organization.clone() };
    world.commit(&store, [Write::UpdateOrganization(world.seal(&frozen))]).await.unwrap();
    let standing = store.standing_revision(owner.0, owner.1).await.unwrap();
    assert!(standing > standing_revision, "a freeze moves the standing");
    assert_eq!(contested(holds(policy_revision + 1, standing).await), Contested::Version);
}

async fn no_permit_after_the_transaction_moved(database: &Database) {
    refused_after(database, |world| {
        vec![Write::UpdateTransaction(world.seal(&world.transaction.moved_to(State::Aborted, now())))]
    })
    .await;
}

async fn no_permit_in_a_frozen_organization(database: &Database) {
    refused_after(database, |world| {
        let frozen = Organization { frozen: true, version: 2, ..world.organization.clone() };
        vec![Write::UpdateOrganization(world.seal(&frozen))]
    })
    .await;
}

/// A registry call is not begun, outbid or signed under conditions under which there would be no permit.
async fn no_registry_call_under_conditions_that_allow_no_permit(database: &Database) {
    let frozen = |world: &World| {
        let frozen = Organization { frozen: true, version: 2, ..world.organization.clone() };
        Write::UpdateOrganization(world.seal(&frozen))
    };
    let frozen_key = |world: &World| {
        Write::UpdateKey(world.seal(&KeyRecord { frozen: true, version: 2, ..world.key.clone() }))
    };
    let retired = |world: &World| {
        let state = KeyState::Retired;
        Write::UpdateKey(world.seal(&KeyRecord { state, version: 2, ..world.key.clone() }))
    };
    let changes: [fn(&World) -> Write; 3] = [frozen, frozen_key, retired];
    for change in changes {
        let (store, world) = ready(database).await;
        let quota = relay_quota(9, now());
        let later = Relay { id: id(RelayId::from_uuid), nonce: world.relay.nonce + 1, ..world.relay.clone() };
        world.commit(&store, [Write::InsertRelay(world.seal(&world.relay), quota)]).await.unwrap();
        world.commit(&store, [change(&world)]).await.unwrap();
        let begun = world.commit(&store, [Write::InsertRelay(world.seal(&later), quota)]).await;
        assert_eq!(contested(begun), Contested::Relay);
        let next = |outcome| Relay { outcome, version: 2, ..world.relay.clone() };
        let signed = RelayOutcome::Signed { raw: vec![1], hash: hash() };
        let signed = world.commit(&store, [Write::UpdateRelay(world.seal(&next(signed)))]).await;
        assert_eq!(contested(signed), Contested::Version);
        // What is never signed gives its nonce back, and whoever comes next may have it.
        let abandoned = Write::UpdateRelay(world.seal(&next(RelayOutcome::Abandoned)));
        world.commit(&store, [abandoned]).await.unwrap();
        let (chain, address) = (world.relay.chain, world.relay.address);
        assert!(store.held_nonces(chain, address, 0).await.unwrap().is_empty());
    }
}

async fn no_permit_for_a_frozen_key(database: &Database) {
    refused_after(database, |world| {
        vec![Write::UpdateKey(world.seal(&KeyRecord { frozen: true, version: 2, ..world.key.clone() }))]
    })
    .await;
}

async fn no_permit_for_a_retired_or_unfinished_key(database: &Database) {
    for state in [KeyState::Retired, KeyState::Generating] {
        refused_after(database, |world| {
            vec![Write::UpdateKey(world.seal(&KeyRecord { state, version: 2, ..world.key.clone() }))]
        })
        .await;
    }
}

async fn no_permit_after_somebody_lost_authority(database: &Database) {
    let changes: [fn(&World) -> Write; 4] = [
        |world| {
            let revoked = ApiKey { revoked_at: Some(now()), version: 2, ..world.api_key.clone() };
            Write::UpdateApiKey(world.seal(&revoked))
        },
        |world| {
            let disabled = Principal { active: false, version: 2, ..world.principal.clone() };
            Write::UpdatePrincipal(world.seal(&disabled))
        },
        |world| {
            let moved = User { ethereum_address: address(), version: 2, ..world.user.clone() };
            Write::UpdateUser(world.seal(&moved))
        },
        |world| {
            let thawed = Organization { frozen: false, version: 2, ..world.organization.clone() };
            Write::UpdateOrganization(world.seal(&thawed))
        },
    ];
    for change in changes {
        refused_after(database, |world| vec![change(world)]).await;
    }
    refused_after(database, |world| vec![Write::InsertPluginRevocation(world.seal(&world.revocation))]).await;
    // Whoever is revoked there may have signed for a plugin here.
    refused_after(database, |world| {
        let next = Charter { revision: 2, ..world.charter.clone() };
        vec![
            Write::Operators(OperatorWrite::InsertCharter(world.seal(&world.charter))),
            Write::Operators(OperatorWrite::UpdateCharter(world.seal(&next))),
        ]
    })
    .await;
    let (store, world) = ready(database).await;
    let other = World::founded(&store).await;
    other.commit(&store, [changes[0](&other)]).await.unwrap();
    assert_eq!(store.standing_revision(world.organization.id, world.user.id).await.unwrap(), 2);
    assert_eq!(store.standing_revision(other.organization.id, other.user.id).await.unwrap(), 3);
    world.commit(&store, [Write::InsertPermit(world.seal(&world.permit))]).await.unwrap();
}

/// T25: whoever makes and revokes keys of their own all day holds up nobody else's signature.
async fn what_another_user_loses_is_no_loss_here(database: &Database) {
    let (store, world) = ready(database).await;
    let principal = Principal { id: id(PrincipalId::from_uuid), ..world.principal.clone() };
    let user = User { id: principal.id, ethereum_address: address(), escrow: None, ..world.user.clone() };
    let key = ApiKey {
        id: id(CredentialId::from_uuid),
        principal: user.id,
        label: Label::User,
        public_id: "0123456789ab".into(),
        ..world.api_key.clone()
    };
    let revoked = ApiKey { revoked_at: Some(now()), version: 2, ..key.clone() };
    let moved = User { version: 2, ..user.clone() };
    let disabled = Principal { active: false, version: 2, ..principal.clone() };
    let made = [
        Write::InsertPrincipal(world.seal(&principal)),
        Write::InsertUser(world.seal(&user)),
        Write::InsertApiKey(world.seal(&key)),
    ];
    world.commit(&store, made).await.unwrap();
    let lost = [
        Write::UpdateApiKey(world.seal(&revoked)),
        Write::UpdateUser(world.seal(&moved)),
        Write::UpdatePrincipal(world.seal(&disabled)),
    ];
    world.commit(&store, lost).await.unwrap();
    assert_eq!(store.standing_revision(world.organization.id, user.id).await.unwrap(), 3);
    world.commit(&store, [Write::InsertPermit(world.seal(&world.permit))]).await.unwrap();
}

/// The standing is kept in memory; what moves it is noticed there too, whatever else the change set holds.
async fn an_integration_that_changed_costs_one_permit_and_not_all(database: &Database) {
    let (store, world) = ready(database).await;
    let standing = async || store.standing_revision(world.organization.id, world.user.id).await.unwrap();
    assert_eq!(standing().await, 2);
    let made = Write::InsertIntegration(world.seal(&world.integration), PLENTY.organization);
    world.commit(&store, [made]).await.unwrap();
    let changed = Integration { version: 2, ..world.integration.clone() };
    world.commit(&store, [Write::UpdateIntegration(world.seal(&changed))]).await.unwrap();
    assert_eq!(standing().await, 3);
    let permit = PermitRecord { standing_revision: 3, ..world.permit.clone() };
    world.commit(&store, [Write::InsertPermit(world.seal(&permit))]).await.unwrap();
}

/// Two processes: one takes authority away and has not committed, the other issues a permit.
async fn a_permit_waits_for_a_loss_of_authority_under_way_and_loses_to_it(database: &Database) {
    let (store, world) = ready(database).await;
    let mut rival = database.intruder().await;
    let mut observer = database.intruder().await;
    rival.execute(if database.is_postgres { "BEGIN" } else { "BEGIN IMMEDIATE" }).await.unwrap();
    rival.execute("UPDATE standings SET revision = revision + 1").await.unwrap();
    let permit = world.commit(&store, [Write::InsertPermit(world.seal(&world.permit))]);
    let revocation = async {
        while database.is_postgres
            && observer.number("SELECT COUNT(*) FROM pg_locks WHERE NOT granted").await == 0
        {
            tokio::task::yield_now().await;
        }
        rival.execute("COMMIT").await.unwrap();
    };
    let (permit, ()) = tokio::join!(permit, revocation);
    assert_eq!(contested(permit), Contested::Permit);
    assert!(store.permits(world.organization.id, world.transaction.id).await.unwrap().is_empty());
}

async fn no_permit_that_has_expired_already(database: &Database) {
    let (store, world) = ready(database).await;
    let expired = PermitRecord { expires_at: past(), ..world.permit.clone() };
    let insert = Write::InsertPermit(world.seal(&expired));
    assert_eq!(contested(world.commit(&store, [insert]).await), Contested::Permit);
}

async fn no_second_permit_for_a_digest(database: &Database) {
    let (store, world) = ready(database).await;
    let insert = || Write::InsertPermit(world.seal(&world.permit));
    world.commit(&store, [insert()]).await.unwrap();
    assert_eq!(contested(world.commit(&store, [insert()]).await), Contested::Permit);
}

async fn an_expired_permit_is_renewed_once_and_under_the_same_conditions(database: &Database) {
    let (store, world) = ready(database).await;
    let renewal = PermitRecord { version: 2, ..world.permit.clone() };
    let renew = |permit: &PermitRecord| Write::RenewPermit(world.seal(permit));
    world.commit(&store, [Write::InsertPermit(world.seal(&world.permit))]).await.unwrap();
    assert_eq!(contested(world.commit(&store, [renew(&renewal)]).await), Contested::Permit, "still valid");

    let mut intruder = database.intruder().await;
    intruder.execute(format!("UPDATE permits SET expires_at = {}", past().unix_micros())).await.unwrap();
    let skipping = PermitRecord { version: 3, ..renewal.clone() };
    let other_digest = PermitRecord { digest: hash(), ..renewal.clone() };
    let expired = PermitRecord { expires_at: past(), ..renewal.clone() };
    let old_policy = PermitRecord { policy_revision: 2, ..renewal.clone() };
    let moved = PermitRecord { transaction_version: 2, ..renewal.clone() };
    let old_standing = PermitRecord { standing_revision: 3, ..renewal.clone() };
    for refused in [skipping, other_digest, expired, old_policy, moved, old_standing] {
        assert_eq!(contested(world.commit(&store, [renew(&refused)]).await), Contested::Permit);
    }
    let frozen = Organization { frozen: true, version: 2, ..world.organization.clone() };
    let in_frozen = [Write::UpdateOrganization(world.seal(&frozen)), renew(&renewal)];
    assert_eq!(contested(world.commit(&store, in_frozen).await), Contested::Permit);

    world.commit(&store, [renew(&renewal)]).await.unwrap();
    assert_eq!(
        contested(world.commit(&store, [renew(&renewal)]).await),
        Contested::Permit,
        "renewed already"
    );
    let stored = store.permits(world.organization.id, world.transaction.id).await.unwrap();
    assert_eq!((stored.len(), &*stored[0]), (1, &renewal));
}

async fn a_permit_holds_at_the_version_its_own_change_set_makes(database: &Database) {
    let (store, world) = ready(database).await;
    let moved = world.transaction.moved_to(State::Approved, now());
    let permit = PermitRecord {
        transaction_version: moved.version,
        expires_at: now().plus(Duration::from_mins(1)),
        ..world.permit.clone()
    };
    let writes = [Write::UpdateTransaction(world.seal(&moved)), Write::InsertPermit(world.seal(&permit))];
    world.commit(&store, writes).await.unwrap();
}

async fn a_permit_that_was_given_back_is_renewed_at_once(database: &Database) {
    let (store, world) = ready(database).await;
    let returned = PermitRecord { expires_at: world.permit.issued_at, version: 2, ..world.permit.clone() };
    let give_back = || Write::ReturnPermit(world.seal(&returned));
    assert_eq!(contested(world.commit(&store, [give_back()]).await), Contested::Permit, "there is none");
    world.commit(&store, [Write::InsertPermit(world.seal(&world.permit))]).await.unwrap();
    world.commit(&store, [give_back()]).await.unwrap();
    assert_eq!(contested(world.commit(&store, [give_back()]).await), Contested::Permit, "given back already");
    let stored = store.permits(world.organization.id, world.transaction.id).await.unwrap();
    assert_eq!((stored.len(), &*stored[0]), (1, &returned));
    let renewal = PermitRecord { version: 3, ..world.permit.clone() };
    world.commit(&store, [Write::RenewPermit(world.seal(&renewal))]).await.unwrap();
}
