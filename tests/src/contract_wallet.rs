//! A wallet that is a contract on a test's chain: `tests/contracts/Wallet.sol`.

use std::fs;

use alloy_primitives::Address;
use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::environment;
use crate::node::Node;

/// Blocks after which anvil has finalized what came before.
const BLOCKS_TO_FINALITY: u64 = 65;

pub struct ContractWallet {
    node: Node,
    address: Address,
}

impl ContractWallet {
    /// Deploys it for the owner, and lets the chain finalize it.
    pub async fn deploy(node: &Node, owner: Address) -> Result<ContractWallet> {
        let compiled = fs::read(environment::root().join("tests/contracts/Wallet.json"))?;
        let compiled: Value = serde_json::from_slice(&compiled)?;
        let code = compiled["bytecode"].as_str().context("no bytecode")?;
        let address = node.deploy(&format!("{code}{}", hex::encode(owner.into_word()))).await?;
        let wallet = ContractWallet { node: node.clone(), address };
        wallet.finalize().await?;
        Ok(wallet)
    }

    pub fn address(&self) -> Address {
        self.address
    }

    /// Gives it to another owner, in the newest block only.
    pub async fn set_owner(&self, owner: Address) -> Result<()> {
        let slot = json!([self.address, "0x0", owner.into_word()]);
        self.node.call("anvil_setStorageAt", slot).await?;
        self.node.mine(1).await
    }

    /// Has `account`, whose key somebody holds, run the same code for this owner, as EIP-7702 allows; finalized.
    pub async fn inhabit(&self, account: Address, owner: Address) -> Result<()> {
        let code = self.node.call("eth_getCode", json!([self.address, "latest"])).await?;
        self.node.call("anvil_setCode", json!([account, code])).await?;
        let slot = json!([account, "0x0", owner.into_word()]);
        self.node.call("anvil_setStorageAt", slot).await?;
        self.finalize().await
    }

    /// Lets the chain finalize what it has.
    pub async fn finalize(&self) -> Result<()> {
        self.node.mine(BLOCKS_TO_FINALITY).await
    }
}
