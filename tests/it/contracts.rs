//! What is deployed is what is written: the committed bytecode of each contract comes from its source.

use std::fs;

use anyhow::{Result, ensure};
use countersign_tests::anvil::Anvil;
use countersign_tests::process::ending;
use countersign_tests::{environment, registry};
use serde_json::{Value, json};

use crate::stand::CHAIN_ID;

/// The compiler is the one that npm's lock file names by its hash.
fn compiled(source: &str) -> Result<Value> {
    let contracts = environment::root().join("deploy/contracts");
    let output = ending("node")
        .env("NODE_PATH", environment::contract_compiler()?.join("node_modules"))
        .arg(contracts.join("compile.cjs"))
        .arg(environment::root().join(source))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[tokio::test]
async fn committed_bytecode_is_what_the_source_compiles_to() -> Result<()> {
    for contract in ["deploy/contracts/Registry", "tests/contracts/Wallet"] {
        let made = compiled(&format!("{contract}.sol"))?;
        let committed = fs::read(environment::root().join(format!("{contract}.json")))?;
        let committed: Value = serde_json::from_slice(&committed)?;
        assert_eq!(committed["abi"], made["abi"], "{contract}");
        // Byte for byte: no metadata is appended that would depend on where the source lay.
        assert_eq!(committed["bytecode"], made["bytecode"], "{contract}");
    }
    let anvil = Anvil::start(CHAIN_ID).await?;
    registry::deploy(anvil.node()).await?;
    let lies = anvil.node().call("eth_getCode", json!([registry::ADDRESS, "latest"])).await?;
    assert_eq!(lies, compiled("deploy/contracts/Registry.sol")?["deployedBytecode"]);
    Ok(())
}
