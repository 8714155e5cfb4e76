//! Secrets stay where they belong: in bootstrap.json of a `dev` directory, and nowhere else (T37).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use countersign_tests::client::Credential;
use serde_json::json;

use crate::stand::{Stand, request_hash};

#[tokio::test]
async fn no_secret_reaches_logs_metrics_answers_or_files() -> Result<()> {
    let stand = Stand::on_sqlite().await?;
    let gateway = stand.installation.start().await?;
    let escrow = stand.user(&gateway).await?;
    let (_, proposed) = stand.pending(&gateway, escrow).await?;
    let (job, hash) = (stand.job(&gateway), request_hash(&proposed));
    job.approve_as_agent(hash).await?.expect(201)?;
    job.approve_as_user(hash).await?.expect(201)?;
    let executed = job.final_transaction(hash).await?;

    let keys = gateway.bootstrap.clone();
    let mut secrets = vec![keys.hsm_pin.clone()];
    for key in [&keys.admin_api_key, &keys.agent_api_key, &keys.arbiter_api_key, &keys.orion_api_key] {
        secrets.push(key.rsplit('_').next().unwrap().to_owned());
    }
    assert!(secrets.iter().all(|secret| secret.len() >= 4), "a secret is too short to look for");

    // An answer about a bad body, which could quote what it was sent.
    let quoting = json!({"ethereumAddress": keys.admin_api_key, keys.agent_api_key.clone(): 1});
    let refused = gateway.client().post("/users", Credential::ApiKey(&keys.admin_api_key), &quoting).await?;
    assert_eq!(refused.status, 400);
    assert!(!refused.headers.iter().any(|(_, value)| secrets.iter().any(|secret| value == secret.as_str())));

    let metrics = gateway.operator().get("/metrics", Credential::Nobody).await?.body;
    let status = job.approval_status(hash).await?.to_string();
    let logs = gateway.output();
    for (place, text) in
        [("metrics", &metrics), ("status", &status), ("logs", &logs), ("transaction", &executed.to_string())]
    {
        for secret in &secrets {
            assert!(!text.contains(secret), "a secret is in the {place}");
        }
    }

    assert!(gateway.stop().await?.success());
    // The PIN has a file of its own there.
    for file in files(&stand.installation.data_dir()) {
        if file.ends_with("bootstrap.json") {
            continue;
        }
        let bytes = fs::read(&file)?;
        for secret in &secrets[1..] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret is in `{}`", file.display());
        }
    }
    Ok(())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}
