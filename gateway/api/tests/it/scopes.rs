//! A binding for one chain or one key has no say about others.

use gateway_domain::{
    Address,
    approvals::Role,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    evaluations::Verdict,
    ids::KeyId,
    policy::{BindingScope, Mode, PolicyHead, Power},
};
use serde_json::json;

use gateway_api::ApiConfig;

use crate::{
    wallet::Wallet,
    world::{CHAIN, World, limits},
};

impl World {
    /// Changes the scope of the plugin's binding.
    pub(crate) async fn rescope(&self, plugin: &str, change: impl FnOnce(&mut BindingScope)) {
        let mut policy = self.services.store.policy(self.organization).await.unwrap().unwrap().into_value();
        policy.revision += 1;
        let bound = policy.bindings.iter_mut().find(|binding| binding.plugin == plugin);
        change(&mut bound.unwrap().scope);
        let head = PolicyHead { organization: self.organization, revision: policy.revision };
        let event = AuditEvent::new(&self.ctx(), "policy.changed", plugin.to_owned(), json!({}));
        let sealer = &self.services.sealer;
        let changes = ChangeSet::new(event)
            .write(Write::InsertPolicy(sealer.seal(policy)))
            .write(Write::MovePolicyHead(sealer.seal(head)));
        self.services.store.commit(changes).await.unwrap();
    }

    pub(crate) async fn key_of(&self, escrow: Address) -> KeyId {
        let keys = self.services.store.key_list(self.organization).await.unwrap();
        keys.iter().find(|key| key.address == Some(escrow)).unwrap().id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_for_another_chain_is_not_asked() {
    let world = World::with_limits(ApiConfig::default(), limits()).await;
    let escrow = world.user(&Wallet::new(1)).await;
    world.bind("gate", Mode::Enforce, Power::Gate).await;
    let here = format!("eip155:{CHAIN}").parse().unwrap();
    let elsewhere = "eip155:1".parse().unwrap();
    for (chain, asked) in [(elsewhere, 0), (here, 1)] {
        world.rescope("gate", |scope| scope.chains = [chain].into()).await;
        assert!(world.propose(escrow, 1).await["executionTxHash"].is_string());
        assert_eq!(world.plugin.asked("gate"), asked, "{chain}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_for_another_key_is_not_asked_and_an_authority_for_another_key_approves_nothing() {
    let world = World::with_limits(ApiConfig::default(), limits()).await;
    let (one, other) = (world.user(&Wallet::new(1)).await, world.user(&Wallet::new(2)).await);
    let key = world.key_of(one).await;
    world.bind("gate", Mode::Enforce, Power::Gate).await;
    world.rescope("gate", |scope| scope.keys = [key].into()).await;
    assert!(world.propose(other, 1).await["executionTxHash"].is_string());
    assert_eq!(world.plugin.asked("gate"), 0);
    assert!(world.propose(one, 1).await["executionTxHash"].is_string());
    assert_eq!(world.plugin.asked("gate"), 1);

    world.bind("second", Mode::Enforce, Power::Authority(Role::Orion)).await;
    world.rescope("second", |scope| scope.keys = [key].into()).await;
    world.rescope("orion", |scope| scope.keys = [key].into()).await;
    let asked = world.plugin.asked("orion");
    assert!(world.propose(one, 1).await["executionTxHash"].is_string());
    assert_eq!(world.propose(other, 1).await["status"], "REJECTED", "nobody may approve it");
    assert_eq!(world.plugin.asked("orion"), asked + 1);
}

/// Its word is not lost: it is not heard, however unkind.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_gate_for_another_key_would_say_denies_nothing() {
    let world = World::with_limits(ApiConfig::default(), limits()).await;
    let (one, other) = (world.user(&Wallet::new(1)).await, world.user(&Wallet::new(2)).await);
    let key = world.key_of(one).await;
    world.bind("gate", Mode::Enforce, Power::Gate).await;
    world.rescope("gate", |scope| scope.keys = [key].into()).await;
    world.plugin.silence("gate");
    assert!(world.propose(other, 1).await["executionTxHash"].is_string());
    world.plugin.say(Verdict::Reject, "no", 1_000_000);
    assert_eq!(world.propose(other, 1).await["status"], "REJECTED", "orion covers it");
}
