//! Fireblocks' own SDK as an API user of the counterpart.

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{Fireblocks, fed, openssl};
use crate::environment;
use crate::process::ending;

/// A call of the SDK.
#[derive(Serialize)]
#[serde(tag = "name", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Call {
    ListVaultAccounts,
    Find { external_id: String },
    Create { idempotency_key: String, body: Value },
}

impl Fireblocks {
    /// Makes the calls as a new API user of that key; answers with each one's `status` and `body`.
    pub async fn call_with_sdk(&self, api_key: &str, calls: &[Call]) -> Result<Vec<Value>> {
        let secret_key = openssl(&["genrsa", "4096"], b"")?;
        let public_key = openssl(&["rsa", "-pubout"], secret_key.as_bytes())?;
        self.enrol_sdk(&public_key, api_key)?;
        let order = json!({"url": self.url(), "apiKey": api_key, "secretKey": secret_key, "calls": calls});
        let mut python = ending(environment::fireblocks_sdk()?);
        python.arg(environment::root().join("tests/clients/fireblocks_calls.py"));
        // The counterpart answers on this very runtime.
        let output = spawn_blocking(move || fed(&mut python, order.to_string().as_bytes())).await??;
        ensure!(output.status.success(), "the SDK: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
