//! A repeat is answered with what the first request made, whatever became of settings, service, vendor and escrow since.

use std::time::Duration;

use gateway_domain::{
    Address, U256,
    changes::Write,
    credentials::{CreateApiKey, Label, create_api_key},
    evaluations::Verdict,
    identity::{Escrow, User},
    settings::Settings,
    transactions::{ExecutionType, Provider, abort, request_hash},
    verification::set_verification_service_active,
};
use serde_json::{Value, json};

use super::scene::{Scene, name};
use crate::{
    encrypted::{body, hash, plaintext},
    openpgp::{BUILT_IN, encrypt},
    world::{CHAIN, FREE_WEI, Reply},
};

impl Scene {
    /// Everything that may change for the owner, so that nothing could be asked for as it was.
    async fn change_everything(&self) {
        let store = &self.world.services.store;
        let settings = store.settings(self.world.organization, self.owner).await.unwrap().unwrap();
        let settings = Settings {
            execution_type: ExecutionType::UserExecuted,
            execution_provider: Provider::None,
            agent_provider: Provider::None,
            chain_id: CHAIN + 1,
            verification_service: None,
            require_arbiter: true,
            version: settings.version + 1,
            ..settings.into_value()
        };
        let user = store.user(self.world.organization, self.owner).await.unwrap().unwrap();
        let escrow = Some(Escrow::Foreign { address: Address::repeat_byte(0x77) });
        let user = User { escrow, version: user.version + 1, ..user.into_value() };
        let sealer = &self.world.services.sealer;
        let writes = [Write::UpdateSettings(sealer.seal(settings)), Write::UpdateUser(sealer.seal(user))];
        self.commit(&self.ctx(), writes).await;
    }

    async fn name_service(&self, service: u32) {
        let store = &self.world.services.store;
        let settings = store.settings(self.world.organization, self.owner).await.unwrap().unwrap();
        let settings = Settings {
            execution_type: ExecutionType::AgentExecuted,
            verification_service: Some(service.into()),
            version: settings.version + 1,
            ..settings.into_value()
        };
        self.commit(&self.ctx(), [Write::UpdateSettings(self.world.services.sealer.seal(settings))]).await;
    }

    async fn send(&self, body: &Value) -> Reply {
        self.world.post("/transactions", body).key(&self.world, "admin").send().await
    }

    /// By another admin key than everything else.
    async fn send_as_another(&self, body: &Value) -> Reply {
        let request = CreateApiKey {
            label: Label::Admin,
            name: "another".to_owned(),
            principal: None,
            expires_at: None,
            dev_only: false,
            verification_service: None,
        };
        let (_, key) = create_api_key(&self.ctx(), &self.world.services, request).await.unwrap();
        self.world.post("/transactions", body).header("x-api-key", &key.reveal()).send().await
    }
}

fn with(body: &Value, field: &str, value: Value) -> Value {
    let mut changed = body.clone();
    changed[field] = value;
    changed
}

fn assert_is_in_use(reply: &Reply) {
    reply.expect(409);
    assert_eq!(reply.message(), "requestHash is in use");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_transfer_is_repeated_whatever_changed() {
    let scene = Scene::new(Provider::Hsm).await;
    let (to, nonce) = (Address::repeat_byte(0xab), U256::from(7));
    let name = request_hash(scene.escrow, Some(to), U256::from(1), &[], CHAIN, nonce);
    let asked = json!({
        "escrowAddress": scene.escrow, "to": to, "value": "1", "chainId": CHAIN, "requestHash": name,
        "requestNonce": "7",
    });
    let made = scene.send(&asked).await.expect(201);
    scene.change_everything().await;
    assert_eq!(scene.send(&asked).await.expect(201)["id"], made["id"]);
    let otherwise_written = json!({
        "requestNonce": "7", "requestHash": format!("0x{}", hex::encode_upper(name)), "data": "0x", "executionType": 0,
        "chainId": CHAIN, "value": "1", "to": format!("0x{}", hex::encode_upper(to)), "escrowAddress": scene.escrow,
    });
    assert_eq!(scene.send(&otherwise_written).await.expect(201)["id"], made["id"]);
    for (field, value) in [("note", json!("another")), ("value", json!("2")), ("chainId", json!(CHAIN + 1))] {
        assert_is_in_use(&scene.send(&with(&asked, field, value)).await);
    }
    assert_is_in_use(&scene.send_as_another(&asked).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_request_is_repeated_whatever_changed() {
    let scene = Scene::new(Provider::Hsm).await;
    let service = scene.world.built_in_service().await;
    scene.name_service(service.id).await;
    let message = encrypt(&plaintext(scene.escrow, hash(7)).to_string(), BUILT_IN);
    let mut asked = body(&scene.wallet, scene.escrow, hash(7), &message, service.id);
    // Left to the settings, which change.
    for field in ["executionType", "verificationServiceId"] {
        asked.as_object_mut().unwrap().remove(field).unwrap();
    }
    let made = scene.send(&asked).await.expect(201);
    assert_eq!(made["executionType"], 2);
    scene.change_everything().await;
    set_verification_service_active(&scene.ctx(), &scene.world.services, service.id, false).await.unwrap();
    let again = scene.send(&asked).await.expect(201);
    assert_eq!((&again["id"], &again["executionType"]), (&made["id"], &made["executionType"]));
    let others = [
        ("executionType", json!(1)),
        ("verificationServiceId", json!(service.id + 1)),
        ("encryptedPayload", json!(message.replace('\n', "\r\n"))),
    ];
    for (field, value) in others {
        assert_is_in_use(&scene.send(&with(&asked, field, value)).await);
    }
    assert_is_in_use(&scene.send_as_another(&asked).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_fireblocks_is_repeated_whatever_changed() {
    let scene = Scene::new(Provider::Fireblocks).await;
    let made = scene.order(1, 1).await.expect(201);
    scene.change_everything().await;
    scene.forget_access().await;
    assert_eq!(scene.order(1, 1).await.expect(201)["id"], made["id"]);
    assert_is_in_use(&scene.order(1, 2).await);
    assert_eq!(scene.world.vendors.fireblocks.posts(made["externalTxId"].as_str().unwrap()), 1);
}

/// Only a denial by policy is refused; whatever else became of an order is told to whoever asks for it again.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_ended_is_told_as_it_ended() {
    let scene = Scene::new(Provider::Fireblocks).await;
    let waiting = FREE_WEI + 1;
    assert_eq!(scene.order(1, waiting).await.expect(201)["status"], "PENDING_AUTHORIZATION");
    abort(&scene.ctx(), &scene.world.services, scene.stored(&name(1)).await.id).await.unwrap();
    assert_eq!(scene.order(1, waiting).await.expect(201)["status"], "CANCELLED");

    let voted_on = scene.order(2, waiting).await.expect(201);
    let path = format!("/transactions/{}/approvals", name(2));
    let vote = json!({"approved": false});
    scene.world.post(path, &vote).signed(&scene.wallet).send().await.expect(201);
    let again = scene.order(2, waiting).await.expect(201);
    assert_eq!((&again["status"], &again["id"]), (&json!("REJECTED"), &voted_on["id"]));

    scene.order(3, waiting).await.expect(201);
    scene.world.clock.advance(Duration::from_hours(48));
    scene.advance(&scene.stored(&name(3)).await).await;
    assert_eq!(scene.order(3, waiting).await.expect(201)["status"], "REJECTED");

    scene.world.plugin.say(Verdict::Reject, "no", 1);
    for _ in 0..2 {
        let denied = scene.order(4, 1).await;
        denied.expect(403);
        assert_eq!(denied.message(), "the transaction was denied");
    }
}
