//! Vaults are the operators': several make them and move keys, one freezes.

use gateway_domain::{
    OpCtx,
    ids::{KeyId, OrganizationId},
    vaults::create_vault,
};

use super::*;
use crate::{
    wallet::Wallet,
    world::{CHAIN, found_organization},
};

impl Deployment {
    fn of(&self, rest: &str) -> String {
        format!("/operator/v1/organizations/{}/{rest}", self.world.organization)
    }

    async fn refused(&self, change: &Value) -> (u16, String) {
        let body = json!({
            "organization": self.world.organization.to_string(), "change": change, "reason": "because",
        });
        let (status, problem) = self.post(&self.ann, "/operator/v1/proposals", &body).await;
        (status, problem["detail"].as_str().unwrap_or_default().to_owned())
    }

    async fn escrow_key(&self) -> KeyId {
        let escrow = self.world.user(&Wallet::new(1)).await;
        let keys = self.world.services.store.key_list(self.world.organization).await.unwrap();
        keys.iter().find(|key| key.address == Some(escrow)).unwrap().id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_makes_a_vault_and_moves_keys() {
    let deployment = Deployment::new().await;
    let key = deployment.escrow_key().await;
    deployment.carried(&json!({"kind": "vault", "name": "payroll & co"})).await;
    let taken = deployment.refused(&json!({"kind": "vault", "name": "payroll & co"})).await;
    assert_eq!(taken, (409, "the organization has a vault of that name".to_owned()));
    let (_, listed) = deployment.get(&deployment.dee, &deployment.of("vaults?name=payroll+%26+co")).await;
    let vault = &listed["vaults"][0];
    assert_eq!((&vault["name"], &vault["frozen"]), (&json!("payroll & co"), &json!(false)));
    let (_, page) = deployment.get(&deployment.dee, &deployment.of("vaults?limit=1")).await;
    assert_eq!(page["vaults"], json!([vault]), "newest first");
    let older = deployment.of(&format!("vaults?before={}", vault["id"].as_str().unwrap()));
    let (_, page) = deployment.get(&deployment.dee, &older).await;
    assert_eq!(page["vaults"][0]["id"], deployment.vault.to_string());

    let into = json!({"kind": "key_move", "key": key.to_string(), "vault": vault["id"]});
    let carried = deployment.carried(&into).await;
    assert_eq!(carried["change"]["from"], Value::Null);
    let keys = deployment.of(&format!("vaults/{}/keys", vault["id"].as_str().unwrap()));
    let (_, shown) = deployment.get(&deployment.dee, &keys).await;
    assert_eq!((&shown["keys"][0]["id"], &shown["keys"][0]["purpose"]), (&json!(key), &json!("wallet")));
    assert_eq!(deployment.refused(&into).await, (409, "the key is there already".to_owned()));

    let out = json!({"kind": "key_move", "key": key.to_string(), "vault": null});
    let proposal = deployment.propose(&out).await;
    assert_eq!(proposal["change"]["from"], vault["id"], "approvers read where it lay");
    assert!(proposal["signedText"].as_str().unwrap().contains(vault["id"].as_str().unwrap()));
    deployment.carried(&out).await;
    let (_, shown) = deployment.get(&deployment.dee, &keys).await;
    assert_eq!(shown["keys"], json!([]));
    // What was approved was the move of a key that lay in the vault.
    assert_eq!(deployment.say(&deployment.bob, &proposal, "approve").await.0, 200);
    assert_eq!(deployment.say(&deployment.cy, &proposal, "approve").await.0, 409);
    let one = deployment.of(&format!("vaults/{}", vault["id"].as_str().unwrap()));
    assert_eq!(deployment.get(&deployment.dee, &one).await, (200, vault.clone()));
    for unknown in [format!("vaults/{key}"), format!("vaults/{key}/keys")] {
        assert_eq!(deployment.get(&deployment.dee, &deployment.of(&unknown)).await.0, 404);
    }
}

/// A gate that named the vault by a slip would never be asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_binding_to_a_vault_that_is_not_there_is_refused() {
    let deployment = Deployment::new().await;
    let organization = OrganizationId::from_uuid(Uuid::new_v4());
    found_organization(&deployment.world.services, organization).await;
    let ctx = OpCtx { organization, ..deployment.world.ctx() };
    let theirs = create_vault(&ctx, &deployment.world.services, "treasury".into()).await.unwrap().id;
    let key = deployment.escrow_key().await;
    for vault in [theirs, VaultId::from_uuid(Uuid::new_v4())] {
        let mut change = deployment.next_policy().await;
        change["bindings"][0]["scope"]["vaults"] = json!([deployment.vault.to_string(), vault.to_string()]);
        let (status, rule) = deployment.refused(&change).await;
        assert_eq!(status, 400);
        assert!(rule.contains(&format!("bindings.scope.vaults: vault `{vault}`")), "{rule}");
        let moved = json!({"kind": "key_move", "key": key, "vault": vault});
        let (status, rule) = deployment.refused(&moved).await;
        assert_eq!((status, rule), (400, format!("vault `{vault}` does not exist in the organization")));
    }
    let mut change = deployment.next_policy().await;
    change["bindings"][0]["scope"]["vaults"] = json!([deployment.vault.to_string()]);
    deployment.carried(&change).await;
    let path = deployment.of("policy");
    let (_, policy) = deployment.get(&deployment.dee, &path).await;
    assert_eq!(policy["bindings"][0]["scope"]["vaults"], json!([deployment.vault.to_string()]));
}

/// Nor a key, nor a chain: what is enforced there would be a rule on paper alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_binding_to_a_key_or_a_chain_that_is_not_there_is_refused() {
    let deployment = Deployment::new().await;
    let key = deployment.escrow_key().await;
    let nowhere = KeyId::from_uuid(Uuid::new_v4());
    for (part, there, missing, rule) in [
        ("keys", key.to_string(), nowhere.to_string(), "does not exist in the organization"),
        ("chains", format!("eip155:{CHAIN}"), "eip155:424242".to_owned(), "is not served here"),
    ] {
        let mut change = deployment.next_policy().await;
        change["bindings"][0]["scope"][part] = json!([there, missing]);
        let (status, refusal) = deployment.refused(&change).await;
        assert_eq!(status, 400);
        assert!(refusal.contains(&format!("bindings.scope.{part}: ")), "{refusal}");
        assert!(refusal.contains(&format!("`{missing}` {rule}")), "{refusal}");
        change["bindings"][0]["scope"][part] = json!([there]);
        deployment.carried(&change).await;
    }
    // Bound while it was served, a chain that is served no more keeps nobody from changing something else.
    deployment.world.rescope("orion", |scope| scope.chains = ["eip155:424242".parse().unwrap()].into()).await;
    let mut change = deployment.next_policy().await;
    change["floor"]["minimum_confidence_ppm"] = json!(1);
    deployment.carried(&change).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_freezes_a_vault_and_a_quorum_thaws_it() {
    let deployment = Deployment::new().await;
    let key = deployment.escrow_key().await;
    let vault = deployment.vault.to_string();
    deployment.carried(&json!({"kind": "key_move", "key": key, "vault": vault})).await;
    let out = json!({"kind": "key_move", "key": key, "vault": null});
    let early = deployment.propose(&out).await;
    assert_eq!(deployment.say(&deployment.bob, &early, "approve").await.0, 200);
    let thaw = json!({"kind": "thaw", "vault": vault});
    assert_eq!(deployment.refused(&thaw).await, (409, "it is not frozen".to_owned()));
    let (freeze, body) = (deployment.of("freeze"), json!({"vault": vault}));
    assert_eq!(deployment.post(&deployment.dee, &freeze, &body).await.0, 403);
    let both = json!({"vault": vault, "key": key});
    let (status, problem) = deployment.post(&deployment.bob, &freeze, &both).await;
    assert_eq!(status, 400, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("key and vault"), "{problem}");
    assert_eq!(deployment.post(&deployment.bob, &freeze, &body).await.0, 200);
    let store = &deployment.world.services.store;
    let organization = store.organization(deployment.world.organization).await.unwrap().unwrap();
    assert!(!organization.frozen, "of the vault's keys alone");
    // Nobody takes the key out under an approval of before.
    assert_eq!(deployment.say(&deployment.cy, &early, "approve").await.0, 409);
    let stale = deployment.propose(&thaw).await;
    assert_eq!(deployment.say(&deployment.bob, &stale, "approve").await.0, 200);
    assert_eq!(deployment.post(&deployment.bob, &freeze, &body).await.0, 200);
    assert_eq!(deployment.say(&deployment.cy, &stale, "approve").await.0, 409, "for the freeze before");
    let both = json!({"kind": "thaw", "vault": vault, "key": key});
    assert_eq!(deployment.refused(&both).await.0, 400);
    deployment.carried(&thaw).await;
    let stored = store.vault(deployment.world.organization, deployment.vault).await.unwrap().unwrap();
    assert!(!stored.frozen);
    assert_eq!(deployment.say(&deployment.cy, &early, "approve").await.0, 200);
    let key = store.key(deployment.world.organization, key).await.unwrap().unwrap();
    assert_eq!(key.vault, None);
}
