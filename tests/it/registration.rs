//! OpenPGP keys of people who have never heard of Countersign are put on record on the chain.

use std::collections::BTreeSet;
use std::path::Path;

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result};
use countersign_tests::client::{Credential, hex};
use countersign_tests::gateway::Gateway;
use countersign_tests::gpg::Gpg;
use countersign_tests::login_clients::register_key;
use countersign_tests::main_job::text;
use countersign_tests::registry;
use serde_json::{Value, json};

use crate::stand::{CHAIN_ID, ETHER, Stand};

/// The registry is deployed and the relayer can pay for records.
async fn with_registry() -> Result<(Stand, Gateway)> {
    let registry = registry::configuration(CHAIN_ID);
    let patient = format!("{registry}wait_ms = 25000\n[server]\nrequest_timeout_ms = 60000\n");
    let stand = Stand::with_configuration(&patient).await?;
    registry::deploy(stand.anvil.node()).await?;
    let gateway = stand.installation.start().await?;
    stand.anvil.node().set_balance(relayer(&gateway)?, U256::from(ETHER)).await?;
    Ok((stand, gateway))
}

fn relayer(gateway: &Gateway) -> Result<Address> {
    Ok(gateway.bootstrap.relayer_address.parse()?)
}

/// A page registers the key, and the record is where everybody can read it.
async fn registers(stand: &Stand, gateway: &Gateway, key: Option<&Path>) -> Result<Value> {
    let (origin, key) = (gateway.client().origin().to_owned(), key.map(Path::to_owned));
    let told = tokio::task::spawn_blocking(move || register_key(&origin, CHAIN_ID, key.as_deref())).await??;
    let (registration, profile) = (&told["registration"], &told["profile"]);
    let (fingerprint, hash) = (text(&told, "fingerprint")?, text(registration, "registrationTxHash")?);
    assert_eq!(registration["pgpFingerprint"], fingerprint, "{told}");
    assert!(registration["registeredAt"].is_string(), "{told}");
    assert_eq!(profile["pgpFingerprint"], fingerprint, "{told}");
    assert_eq!(profile["pgpPublicKey"], told["pgpPublicKey"], "{told}");
    assert_eq!(profile["registered"], true, "{told}");
    assert_eq!(profile["registrationTxHash"], hash, "{told}");
    assert_eq!(profile["apiKeys"], json!([]), "{told}");
    let account: Address = text(registration, "ethereumAddress")?.parse()?;
    let node = stand.anvil.node();
    let record = registry::fingerprint(node, relayer(gateway)?, account).await?;
    assert_eq!(hex::encode_upper(&record[..20]), fingerprint);
    let receipt = node.call("eth_getTransactionReceipt", json!([hash])).await?;
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    Ok(told)
}

#[tokio::test]
async fn a_key_by_openpgp_js_is_put_on_record() -> Result<()> {
    let (stand, gateway) = with_registry().await?;
    registers(&stand, &gateway, None).await?;
    assert!(gateway.stop().await?.success());
    assert_eq!(stand.installation.verify_audit()?["verified"], true);
    Ok(())
}

#[tokio::test]
async fn a_key_by_gnupg_is_put_on_record_and_belongs_to_one_user() -> Result<()> {
    let (stand, gateway) = with_registry().await?;
    let gpg = Gpg::new()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("key.asc");
    std::fs::write(&file, gpg.generate("somebody@example.org")?)?;
    let told = registers(&stand, &gateway, Some(&file)).await?;
    assert_eq!(text(&told, "fingerprint")?, gpg.fingerprint("somebody@example.org")?);

    // Another wallet signs the same key.
    let origin = gateway.client().origin().to_owned();
    let again = tokio::task::spawn_blocking(move || register_key(&origin, CHAIN_ID, Some(&file))).await?;
    let refusal = again.err().context("the key was registered twice")?.to_string();
    assert!(refusal.contains("/user-api-keys/register: 409"), "{refusal}");
    Ok(())
}

/// Public keys are public: a stranger names one first, and its owner gets it back by signing with it.
#[tokio::test]
async fn who_has_a_gnupg_key_takes_it_over_from_a_stranger() -> Result<()> {
    let (stand, gateway) = with_registry().await?;
    let (gpg, folder) = (Gpg::new()?, tempfile::tempdir()?);
    let (name, file) = ("owner@example.org", folder.path().join("key.asc"));
    let key = gpg.generate(name)?;
    std::fs::write(&file, &key)?;
    registers(&stand, &gateway, Some(&file)).await?;

    let (client, account) = (gateway.client(), stand.wallet.address());
    let token = stand.job(&gateway).log_in().await?;
    let mut body = json!({"pgpPublicKey": key, "signature": hex(&stand.wallet.sign_text(&key)?)});
    client.post("/user-api-keys/register", Credential::Token(&token), &body).await?.expect(409)?;
    let fingerprint = gpg.fingerprint(name)?;
    let text = format!("gateway-core-openpgp-v1 {} {account} {fingerprint}", client.origin());
    body["pgpSignature"] = json!(gpg.sign(&text, name)?);
    let made = client.post("/user-api-keys/register", Credential::Token(&token), &body).await?.expect(201)?;
    assert_eq!((&made["pgpFingerprint"], &made["status"]), (&json!(fingerprint), &json!("registered")));
    let record = registry::fingerprint(stand.anvil.node(), relayer(&gateway)?, account).await?;
    assert_eq!(hex::encode_upper(&record[..20]), fingerprint);
    stand.finish(gateway).await
}

/// The contract answers with the key that it was told last.
#[tokio::test]
async fn a_key_that_comes_back_is_the_one_that_the_contract_names() -> Result<()> {
    let (stand, gateway) = with_registry().await?;
    let gpg = Gpg::new()?;
    let (first, second) = (gpg.generate("first@example.org")?, gpg.generate("second@example.org")?);
    let token = stand.job(&gateway).log_in().await?;
    let mut hashes = BTreeSet::new();
    for (key, name) in
        [(&first, "first@example.org"), (&second, "second@example.org"), (&first, "first@example.org")]
    {
        let body = json!({"pgpPublicKey": key, "signature": hex(&stand.wallet.sign_text(key)?)});
        let asked =
            gateway.client().post("/user-api-keys/register", Credential::Token(&token), &body).await?;
        let made = asked.expect(201)?;
        let account = stand.wallet.address();
        let record = registry::fingerprint(stand.anvil.node(), relayer(&gateway)?, account).await?;
        assert_eq!(hex::encode_upper(&record[..20]), gpg.fingerprint(name)?, "{made}");
        assert_eq!(made["pgpFingerprint"], gpg.fingerprint(name)?, "{made}");
        hashes.insert(text(&made, "registrationTxHash")?.to_owned());
    }
    assert_eq!(hashes.len(), 3, "each record is a transaction of its own: {hashes:?}");
    stand.finish(gateway).await
}
