//! Operators: one alone stops things, several together permit things (T31, T36).

use std::collections::BTreeSet;

use axum::{
    Router,
    body::Body,
    http::{Method, Request},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use gateway_api::{ApiConfig, operator_api_router};
use gateway_domain::{
    Address, B256,
    audit::AuditEvent,
    changes::{ChangeSet, Write},
    ids::{OperatorId, PluginRevisionId, VaultId},
    operators::{Charter, NewOperator, OperatorKey, OperatorRole, charter_founding},
    policy::{PluginRevision, PolicyHead, RevisionClaims, RevisionSignature, signing_input, subject_digest},
    ports::Limits,
    vaults::create_vault,
};
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    pkcs8::{EncodePublicKey as _, LineEnding},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{
    wallet::Wallet,
    world::{World, limits, transfer},
};

mod changes;
mod dry_runs;
mod founding;
mod plugins;
mod proofs;
mod recovery;
mod revocations;
mod rollbacks;
mod vaults;

/// An operator's own key, as an independent client holds it.
pub(crate) struct Person {
    key: SigningKey,
    id: OperatorId,
}

/// A deployment with a charter: Ann proposes and approves, Bob and Cy approve, Dee reads; two must agree. Ann has signed
/// for Orion, which is bound.
struct Deployment {
    world: World,
    router: Router,
    revision: PluginRevisionId,
    vault: VaultId,
    ann: Person,
    bob: Person,
    cy: Person,
    dee: Person,
}

const AUTHOR: OperatorRole = OperatorRole::Author;
const APPROVER: OperatorRole = OperatorRole::Approver;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn newcomer(name: &str, seed: u8, roles: &[OperatorRole]) -> NewOperator {
    let public = p256::PublicKey::from(key(seed).verifying_key());
    let pem = public.to_public_key_pem(LineEnding::LF).unwrap();
    let public_key = OperatorKey::from_pem(&pem).unwrap();
    NewOperator { name: name.to_owned(), public_key, roles: roles.iter().copied().collect() }
}

impl World {
    /// Puts a revision that is signed for in the place of the one that is bound.
    pub(crate) async fn rebind(
        &self,
        sign: impl FnOnce(&PluginRevision) -> RevisionSignature,
    ) -> PluginRevisionId {
        let store = &self.services.store;
        let mut policy = store.policy(self.organization).await.unwrap().unwrap().into_value();
        let bound = store.plugin_revision(self.organization, policy.bindings[0].revision).await.unwrap();
        let id = PluginRevisionId::from_uuid(Uuid::new_v4());
        let mut revision = PluginRevision { id, ..bound.unwrap().into_value() };
        revision.signature = Some(sign(&revision));
        policy.revision += 1;
        policy.bindings[0].revision = id;
        let head = PolicyHead { organization: self.organization, revision: policy.revision };
        let sealer = &self.services.sealer;
        let event = AuditEvent::new(&self.ctx(), "plugin.installed", id.to_string(), json!({}));
        let changes = ChangeSet::new(event)
            .write(Write::InsertPluginRevision(sealer.seal(revision), b"component".to_vec(), 100))
            .write(Write::InsertPolicy(sealer.seal(policy)))
            .write(Write::MovePolicyHead(sealer.seal(head)));
        store.commit(changes).await.unwrap();
        id
    }
}

impl Deployment {
    async fn new() -> Self {
        Self::with(limits(), ApiConfig::default(), ApiConfig::default()).await
    }

    async fn with_limits(limits: Limits) -> Self {
        Self::with(limits, ApiConfig::default(), ApiConfig::default()).await
    }

    async fn with(limits: Limits, config: ApiConfig, uploads: ApiConfig) -> Self {
        let world = World::with_limits(config.clone(), limits).await;
        let people = vec![
            newcomer("Ann", 1, &[AUTHOR, APPROVER]),
            newcomer("Bob", 2, &[APPROVER]),
            newcomer("Cy", 3, &[APPROVER]),
            newcomer("Dee", 4, &[OperatorRole::Auditor]),
        ];
        let (charter, founding) = charter_founding(&world.ctx(), &world.services, people, 2).unwrap();
        world.services.store.commit(founding).await.unwrap();
        let person = |name: &str, seed| Person { key: key(seed), id: named(&charter, name) };
        let ann = person("Ann", 1);
        let revision = world.rebind(|revision| ann.sign(&world, revision)).await;
        let vault = create_vault(&world.ctx(), &world.services, "treasury".to_owned()).await.unwrap().id;
        Self {
            vault,
            router: operator_api_router(&world.services, config, uploads),
            revision,
            ann,
            bob: person("Bob", 2),
            cy: person("Cy", 3),
            dee: person("Dee", 4),
            world,
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        proof: Option<&str>,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(proof) = proof {
            request = request.header("authorization", format!("Operator {proof}"));
        }
        let bytes = body.map(|body| serde_json::to_vec(body).unwrap());
        if bytes.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Body::from(bytes.unwrap_or_default())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn get(&self, who: &Person, path: &str) -> (u16, Value) {
        let proof = who.proof(&self.world, "GET", path, b"");
        self.send(Method::GET, path, None, Some(&proof)).await
    }

    async fn post(&self, who: &Person, path: &str, body: &Value) -> (u16, Value) {
        let proof = who.proof(&self.world, "POST", path, &serde_json::to_vec(body).unwrap());
        self.send(Method::POST, path, Some(body), Some(&proof)).await
    }

    /// Without a body.
    async fn poke(&self, who: &Person, path: &str) -> (u16, Value) {
        let proof = who.proof(&self.world, "POST", path, b"");
        self.send(Method::POST, path, None, Some(&proof)).await
    }

    async fn propose(&self, change: &Value) -> Value {
        let body = json!({
            "organization": self.world.organization.to_string(), "change": change, "reason": "because",
        });
        let (status, proposal) = self.post(&self.ann, "/operator/v1/proposals", &body).await;
        assert_eq!(status, 201, "{proposal}");
        proposal
    }

    async fn say(&self, who: &Person, proposal: &Value, verb: &str) -> (u16, Value) {
        let path = format!("/operator/v1/proposals/{}/{verb}", proposal["id"].as_str().unwrap());
        self.post(who, &path, &json!({"digest": proposal["digest"]})).await
    }

    async fn carried(&self, change: &Value) -> Value {
        let proposal = self.propose(change).await;
        assert_eq!(self.say(&self.bob, &proposal, "approve").await.1["state"], "open");
        let (status, carried) = self.say(&self.cy, &proposal, "approve").await;
        assert_eq!((status, &carried["state"]), (200, &json!("carried")), "{carried}");
        carried
    }

    /// Somebody more, by a proposal that was carried.
    async fn enrolled(&self, name: &str, seed: u8, roles: &[OperatorRole]) -> Person {
        let new = newcomer(name, seed, roles);
        let new = json!({"name": new.name, "public_key": new.public_key, "roles": new.roles});
        let change = json!({"kind": "charter", "enrolled": [new], "approvals_required": 2});
        let body = json!({"change": change, "reason": "joins"});
        let (status, proposal) = self.post(&self.ann, "/operator/v1/proposals", &body).await;
        assert_eq!(status, 201, "{proposal}");
        for who in [&self.bob, &self.cy] {
            assert_eq!(self.say(who, &proposal, "approve").await.0, 200);
        }
        let charter = self.world.services.store.charter().await.unwrap().unwrap();
        Person { key: key(seed), id: named(&charter, name) }
    }

    async fn dismiss(&self, who: &Person, whom: &Person) -> (u16, Value) {
        self.poke(who, &format!("/operator/v1/operators/{}/revoke", whom.id)).await
    }

    /// The policy in force as a change that would put the next in its place.
    async fn next_policy(&self) -> Value {
        let path = format!("/operator/v1/organizations/{}/policy", self.world.organization);
        let (_, policy) = self.get(&self.dee, &path).await;
        let bindings = policy["bindings"].as_array().unwrap().iter().map(|binding| {
            json!({
                "revision": binding["revision"], "subject_digest": binding["subject_digest"], "scope": binding["scope"],
                "mode": binding["mode"], "power": binding["power"],
            })
        });
        json!({
            "kind": "policy", "replaces": policy["revision"], "floor": policy["floor"],
            "bindings": bindings.collect::<Vec<_>>(),
        })
    }

    async fn policy_revision(&self) -> u64 {
        let store = &self.world.services.store;
        store.policy(self.world.organization).await.unwrap().unwrap().revision
    }
}

fn named(charter: &Charter, name: &str) -> OperatorId {
    charter.operators.iter().find(|operator| operator.name == name).unwrap().id
}

impl Person {
    /// What proves one request.
    fn proof(&self, world: &World, method: &str, path: &str, body: &[u8]) -> String {
        self.signed(&self.header(), &claims(world, method, path, body))
    }

    /// What signs for a revision as it is.
    fn sign(&self, world: &World, revision: &PluginRevision) -> RevisionSignature {
        let text = self.signature(world, &revision.plugin, revision.subject_digest());
        RevisionSignature::parse(&text).unwrap()
    }

    fn signature(&self, world: &World, plugin: &str, subject: B256) -> String {
        let claims = RevisionClaims {
            origin: world.services.origin_of(world.organization).to_owned(),
            organization: world.organization,
            plugin: plugin.to_owned(),
            subject,
            iat: 1,
        };
        let input = signing_input(self.id, &claims);
        let signature: Signature = self.key.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// The body that uploads a component of this name.
    fn upload(&self, world: &World, plugin: &str) -> Value {
        let component = format!("component {plugin}");
        let digest = B256::new(Sha256::digest(&component).into());
        let grants = BTreeSet::from(["log".to_owned()]);
        let signature = self.signature(world, plugin, subject_digest(digest, "{}", &grants));
        json!({
            "plugin": plugin, "component": STANDARD.encode(component), "settings": "{}", "grants": grants,
            "signature": signature,
        })
    }

    fn header(&self) -> Value {
        json!({"typ": "countersign-operator+jwt", "alg": "ES256", "kid": self.id.to_string()})
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(header), part(claims));
        let signature: Signature = self.key.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}

fn claims(world: &World, method: &str, path: &str, body: &[u8]) -> Value {
    json!({
        "htm": method, "htu": path, "bsh": URL_SAFE_NO_PAD.encode(Sha256::digest(body)),
        "iat": world.services.clock.now().unix_seconds(), "jti": Uuid::new_v4().to_string(),
    })
}

/// Every operation of the surface, by its document; about a proposal and a transaction where it is about one.
fn operations(
    deployment: &Deployment,
    (proposal, transaction): (&Value, &Value),
) -> Vec<(Method, String, Option<Value>)> {
    let document: Value =
        serde_json::from_str(&gateway_api::openapi::openapi(gateway_api::openapi::Family::Operator)).unwrap();
    let mut operations = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        let id = match template.as_str() {
            path if path.contains("/operators/") => deployment.cy.id.to_string(),
            path if path.contains("/transactions/") => transaction["id"].as_str().unwrap().to_owned(),
            path if path.contains("/vaults/") => deployment.vault.to_string(),
            path if path.contains("/plugins/") => deployment.revision.to_string(),
            path if path.contains("/api-keys/") => deployment.world.key_ids["arbiter"].to_string(),
            _ => proposal["id"].as_str().unwrap().to_owned(),
        };
        let organization = deployment.world.organization.to_string();
        let path =
            template.replace("{organization}", &organization).replace("{id}", &id).replace("{revision}", "1");
        for (method, operation) in item.as_object().unwrap() {
            let schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
            let body = schema.map(|name| match name.rsplit('/').next().unwrap() {
                "DigestDto" => json!({"digest": proposal["digest"]}),
                "DryRunDto" => transfer(Address::repeat_byte(7), 1),
                "FreezeDto" => json!({}),
                "RollbackDto" => json!({"reason": "again"}),
                "UploadDto" => deployment.ann.upload(&deployment.world, "second"),
                "ProposeDto" => json!({
                    "organization": organization, "change": proposal["change"], "reason": "again",
                }),
                other => panic!("no sample of {other}"),
            });
            operations.push((method.to_uppercase().parse().unwrap(), path.clone(), body));
        }
    }
    assert!(operations.len() >= 21, "{operations:?}");
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_proof_every_operation_is_closed() {
    let deployment = Deployment::new().await;
    let proposal = deployment.propose(&deployment.next_policy().await).await;
    for (method, path, body) in operations(&deployment, (&proposal, &proposal)) {
        let (status, problem) = deployment.send(method.clone(), &path, body.as_ref(), None).await;
        assert_eq!((status, &problem["title"]), (401, &json!("Unauthorized")), "{method} {path}: {problem}");
    }
}

/// T31: whatever one operator asks for, nothing can be signed that could not be signed before.
#[tokio::test(flavor = "multi_thread")]
async fn one_operator_alone_enlarges_nothing() {
    let deployment = Deployment::new().await;
    let store = &deployment.world.services.store;
    let organization = deployment.world.organization;
    let proposal = deployment.propose(&deployment.next_policy().await).await;
    let before = (
        deployment.policy_revision().await,
        store.api_key_list(organization).await.unwrap().len(),
        store.charter().await.unwrap().unwrap().approvals_required,
    );
    for person in [&deployment.ann, &deployment.bob] {
        for (method, path, body) in operations(&deployment, (&proposal, &proposal)) {
            // What ends the proposal comes last: until then it could be carried.
            if path.ends_with("/refuse") || path.ends_with("/withdraw") {
                continue;
            }
            let bytes = body.as_ref().map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
            for _ in 0..3 {
                let proof = person.proof(&deployment.world, method.as_str(), &path, &bytes);
                let (status, answer) =
                    deployment.send(method.clone(), &path, body.as_ref(), Some(&proof)).await;
                assert!(status < 500, "{method} {path}: {answer}");
                assert_ne!(answer["state"], "carried", "{method} {path}");
                assert_ne!(answer["atOnce"], true, "{method} {path}");
            }
        }
        let after = (
            deployment.policy_revision().await,
            store.api_key_list(organization).await.unwrap().len(),
            store.charter().await.unwrap().unwrap().approvals_required,
        );
        assert_eq!(after, before);
        let organization = store.organization(organization).await.unwrap().unwrap();
        assert!(organization.frozen, "stopping takes one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_reads_and_changes_nothing() {
    let deployment = Deployment::new().await;
    let proposal = deployment.propose(&deployment.next_policy().await).await;
    let transaction = deployment.world.propose(deployment.world.user(&Wallet::new(1)).await, 1).await;
    for (method, path, body) in operations(&deployment, (&proposal, &transaction)) {
        let bytes = body.as_ref().map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
        let proof = deployment.dee.proof(&deployment.world, method.as_str(), &path, &bytes);
        let (status, answer) = deployment.send(method.clone(), &path, body.as_ref(), Some(&proof)).await;
        let expected = if method == Method::GET { 200 } else { 403 };
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_without_a_charter_says_so() {
    let world = World::new().await;
    let router = operator_api_router(&world.services, ApiConfig::default(), ApiConfig::default());
    let person = Person { key: key(1), id: OperatorId::from_uuid(Uuid::new_v4()) };
    let path = "/operator/v1/charter";
    let request = Request::get(path)
        .header("authorization", format!("Operator {}", person.proof(&world, "GET", path, b"")))
        .body(Body::empty())
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status().as_u16(), 503);
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("operators"), "{bytes:?}");
}
