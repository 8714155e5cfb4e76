//! What a signed request must be.

use gateway_api::Rate;

use super::*;

const PATH: &str = "/operator/v1/charter";

impl Deployment {
    async fn shows(&self, proof: &str) -> u16 {
        self.send(Method::GET, PATH, None, Some(proof)).await.0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_good_for_one_request_once() {
    let deployment = Deployment::new().await;
    let proof = deployment.ann.proof(&deployment.world, "GET", PATH, b"");
    assert_eq!(deployment.shows(&proof).await, 200);
    assert_eq!(deployment.shows(&proof).await, 401, "again");
    // ECDSA has a second signature for every text.
    let proof = deployment.ann.proof(&deployment.world, "GET", PATH, b"");
    assert_eq!(deployment.shows(&proof).await, 200);
    assert_eq!(deployment.shows(&malleated(&proof)).await, 401, "again in other words");
}

fn malleated(proof: &str) -> String {
    let (input, signature) = proof.rsplit_once('.').unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let (r, s) = signature.split_scalars();
    let other = Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(other.to_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_does_not_fit_the_request_proves_nothing() {
    let deployment = Deployment::new().await;
    let (world, ann) = (&deployment.world, &deployment.ann);
    let good = claims(world, "GET", PATH, b"");
    let edits: [(&str, Value); 11] = [
        ("htm", json!("POST")),
        ("htu", json!("/operator/v1/proposals")),
        ("htu", json!(format!("{PATH}?x=1"))),
        ("bsh", json!(URL_SAFE_NO_PAD.encode(Sha256::digest(b"other")))),
        ("iat", json!(world.services.clock.now().unix_seconds() - 3_600)),
        ("iat", json!(world.services.clock.now().unix_seconds() + 3_600)),
        ("iat", json!("now")),
        ("jti", json!("short")),
        ("jti", json!("x".repeat(65))),
        ("jti", Value::Null),
        ("exp", json!(1)),
    ];
    for (name, value) in edits {
        let mut edited = good.clone();
        // Nobody else can sign for another body: such a proof is used up.
        edited["jti"] = if name == "bsh" { json!("of another body") } else { edited["jti"].clone() };
        edited[name] = value;
        assert_eq!(deployment.shows(&ann.signed(&ann.header(), &edited)).await, 401, "{name}");
    }
    let headers: [(&str, Value); 6] = [
        ("typ", json!("JWT")),
        ("typ", Value::Null),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("kid", json!(deployment.bob.id.to_string())),
        ("kid", json!(Uuid::new_v4().to_string())),
    ];
    for (name, value) in headers {
        let mut header = ann.header();
        header[name] = value;
        assert_eq!(deployment.shows(&ann.signed(&header, &good)).await, 401, "{name}");
    }
    for text in ["", "a", "a.b", "a.b.c", &"x".repeat(5_000)] {
        assert_eq!(deployment.shows(text).await, 401, "{text}");
    }
    assert_eq!(deployment.shows(&ann.signed(&ann.header(), &good)).await, 200, "nothing was used up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_operator_proves_nothing_at_once() {
    let deployment = Deployment::new().await;
    let path = format!("/operator/v1/operators/{}/revoke", deployment.dee.id);
    let (status, charter) = deployment.poke(&deployment.bob, &path).await;
    assert_eq!((status, &charter["revision"]), (200, &json!(2)), "{charter}");
    assert_eq!(deployment.get(&deployment.dee, PATH).await.0, 401);
    // Again changes nothing.
    assert_eq!(deployment.poke(&deployment.bob, &path).await.1["revision"], 2);
}

/// Auditors read proofs, and whoever reads one may send it.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_others_repeat_is_not_charged_to_its_operator() {
    let mut config = ApiConfig::default();
    config.rates.operator = Rate { burst: 3, period_ms: 3_600_000 };
    let deployment = Deployment::with(limits(), config.clone(), config).await;
    let proof = deployment.ann.proof(&deployment.world, "GET", PATH, b"");
    assert_eq!(deployment.shows(&proof).await, 200);
    for _ in 0..10 {
        assert_eq!(deployment.shows(&proof).await, 401);
    }
    for status in [200, 200, 429] {
        assert_eq!(deployment.get(&deployment.ann, PATH).await.0, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_source_sends_is_bounded_before_any_proof_is_looked_at() {
    let mut config = ApiConfig::default();
    config.rates.source = Rate { burst: 2, period_ms: 3_600_000 };
    let deployment = Deployment::with(limits(), config.clone(), config).await;
    for status in [401, 401, 429] {
        assert_eq!(deployment.shows("a.b.c").await, status);
    }
}
