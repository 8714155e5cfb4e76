use std::collections::BTreeSet;

use gateway_domain::{
    B256,
    actor::Actor,
    clock::Timestamp,
    ids::{OrganizationId, PluginRevisionId},
    transactions::Kind,
};
use uuid::Uuid;

use super::*;

fn binding(plugin: &str, mode: Mode, content: u8) -> Binding {
    Binding {
        id: BindingId::from_uuid(Uuid::new_v4()),
        revision: PluginRevisionId::from_uuid(Uuid::new_v4()),
        plugin: plugin.to_owned(),
        subject_digest: B256::repeat_byte(content),
        scope: BindingScope {
            kinds: BTreeSet::from([Kind::Transaction]),
            chains: BTreeSet::new(),
            keys: BTreeSet::new(),
            vaults: BTreeSet::new(),
        },
        mode,
        power: Power::Gate,
    }
}

fn installed(present: &Policy, binding: Binding) -> Policy {
    let ctx = OpCtx {
        organization: present.organization,
        actor: Actor::LocalOperator,
        source: None,
        request_id: String::new(),
        now: present.created_at,
    };
    next_policy(&ctx, Some(present.clone()), binding, None)
}

fn present(bindings: Vec<Binding>) -> Policy {
    Policy {
        organization: OrganizationId::from_uuid(Uuid::new_v4()),
        revision: 4,
        floor: Floor::open(),
        bindings,
        proposal: None,
        created_at: Timestamp::from_unix_micros(1),
    }
}

#[test]
fn a_binding_takes_the_place_and_the_memory_of_its_plugins_of_the_same_mode() {
    let before = present(vec![
        binding("first", Mode::Enforce, 1),
        binding("first", Mode::Shadow, 2),
        binding("last", Mode::Enforce, 3),
    ]);
    let [enforced, shadow, last] = &before.bindings[..] else { panic!("{before:?}") };
    let ids = |policy: &Policy| policy.bindings.iter().map(|one| one.id).collect::<Vec<_>>();
    for mode in [Mode::Enforce, Mode::Shadow] {
        let after = installed(&before, binding("first", mode, 4));
        assert_eq!((after.revision, ids(&after)), (5, vec![enforced.id, shadow.id, last.id]));
    }
    let after = installed(&before, binding("another", Mode::Shadow, 5));
    assert_eq!(ids(&after)[..3], ids(&before));
    assert_eq!(after.bindings.len(), 4);
}

#[test]
fn a_shadow_that_is_enforced_as_it_is_ends() {
    let beside = present(vec![
        binding("first", Mode::Shadow, 2),
        binding("last", Mode::Enforce, 3),
        binding("first", Mode::Enforce, 1),
    ]);
    let after = installed(&beside, binding("first", Mode::Enforce, 2));
    let told: Vec<_> = after.bindings.iter().map(|one| (one.id, one.mode)).collect();
    let expected = [&beside.bindings[1], &beside.bindings[2]].map(|one| (one.id, Mode::Enforce));
    assert_eq!(told, expected);
    // Alone, it goes on from what it remembered.
    let alone = present(vec![binding("first", Mode::Shadow, 2)]);
    let after = installed(&alone, binding("first", Mode::Enforce, 2));
    assert_eq!((after.bindings.len(), after.bindings[0].id), (1, alone.bindings[0].id));
}
