//! A gateway with a chain behind it, as most tests need it.

use alloy_primitives::{Address, U256};
use anyhow::{Result, ensure};
use countersign_tests::anvil::Anvil;
use countersign_tests::configuration::{self, Chain, PEOPLE_FROM_WEI};
use countersign_tests::gateway::{Gateway, Installation};
use countersign_tests::lying_node::LyingNode;
use countersign_tests::main_job::{MainJob, Transfer, text};
use countersign_tests::postgres::Postgres;
use countersign_tests::wallet::Wallet;
use serde_json::Value;

pub(crate) const CHAIN_ID: u64 = 31_337;
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;

/// Node, proxy before it, installation and a user's wallet; the gateway's process is started by the test.
pub(crate) struct Stand {
    pub(crate) anvil: Anvil,
    pub(crate) node: LyingNode,
    pub(crate) installation: Installation,
    pub(crate) wallet: Wallet,
    _database: Option<Postgres>,
}

impl Stand {
    pub(crate) async fn on_sqlite() -> Result<Stand> {
        Stand::new(None, "").await
    }

    pub(crate) async fn on_postgres() -> Result<Stand> {
        Stand::new(Some(Postgres::create().await?), "").await
    }

    /// On SQLite, with further sections of the configuration file.
    pub(crate) async fn with_configuration(more: &str) -> Result<Stand> {
        Stand::new(None, more).await
    }

    /// On SQLite, with further keys of the section `[outbox]`.
    pub(crate) async fn with_outbox(more: &str) -> Result<Stand> {
        let (anvil, node) = Stand::node().await?;
        let chain = Chain { id: CHAIN_ID, rpc_url: node.url(), confirmations: 1 };
        let configuration =
            configuration::render(&[chain], None).replace("[outbox]", &format!("[outbox]\n{more}"));
        let installation = install(&configuration)?;
        Ok(Stand { anvil, node, installation, wallet: Wallet::random(), _database: None })
    }

    /// On SQLite, with further keys of the chain's section; two confirmations are needed.
    pub(crate) async fn with_chain(more: &str) -> Result<Stand> {
        let (anvil, node) = Stand::node().await?;
        let urls = node.url().to_owned();
        Stand::on_chain(anvil, node, (&urls, more))
    }

    /// The same with the honest node as a second one behind the proxy.
    pub(crate) async fn with_a_second_node(more: &str) -> Result<Stand> {
        let (anvil, node) = Stand::node().await?;
        let urls = format!("{}, {}", node.url(), anvil.node().url());
        Stand::on_chain(anvil, node, (&urls, more))
    }

    async fn node() -> Result<(Anvil, LyingNode)> {
        let anvil = Anvil::start(CHAIN_ID).await?;
        let node = LyingNode::start(anvil.node().url()).await?;
        Ok((anvil, node))
    }

    fn on_chain(anvil: Anvil, node: LyingNode, (rpc_url, more): (&str, &str)) -> Result<Stand> {
        let chain = Chain { id: CHAIN_ID, rpc_url, confirmations: 2 };
        let configuration = configuration::render(&[chain], None);
        // The chain's section is the last one.
        let installation = install(&format!("{configuration}{more}\n"))?;
        Ok(Stand { anvil, node, installation, wallet: Wallet::random(), _database: None })
    }

    async fn new(database: Option<Postgres>, more: &str) -> Result<Stand> {
        let (anvil, node) = Stand::node().await?;
        let chain = Chain { id: CHAIN_ID, rpc_url: node.url(), confirmations: 1 };
        let configuration = configuration::render(&[chain], database.as_ref().map(Postgres::url));
        let installation = install(&format!("{configuration}\n{more}"))?;
        Ok(Stand { anvil, node, installation, wallet: Wallet::random(), _database: database })
    }

    pub(crate) fn job<'a>(&'a self, gateway: &'a Gateway) -> MainJob<'a> {
        MainJob {
            client: gateway.client(),
            bootstrap: &gateway.bootstrap,
            wallet: &self.wallet,
            chain_id: CHAIN_ID,
        }
    }

    pub(crate) async fn fund(&self, escrow: Address) -> Result<()> {
        self.anvil.node().set_balance(escrow, U256::from(5 * ETHER)).await
    }

    /// Ends the gateway as an operator would, and verifies the audit log without it.
    pub(crate) async fn finish(&self, gateway: Gateway) -> Result<()> {
        let status = gateway.stop().await?;
        ensure!(status.success(), "the gateway ended with {status}");
        let verified = self.installation.verify_audit()?;
        ensure!(verified["verified"] == true, "{verified}");
        Ok(())
    }

    /// A funded user.
    pub(crate) async fn user(&self, gateway: &Gateway) -> Result<Address> {
        let escrow = self.job(gateway).create_user().await?;
        self.fund(escrow).await?;
        Ok(escrow)
    }

    /// A transfer that waits for the user and an agent.
    pub(crate) async fn pending(&self, gateway: &Gateway, escrow: Address) -> Result<(Transfer, Value)> {
        let transfer = transfer(escrow);
        let proposed = self.job(gateway).propose(&transfer).await?.expect(201)?;
        assert_eq!(proposed["status"], "PENDING", "{proposed}");
        Ok((transfer, proposed))
    }
}

/// One ether to a new address.
pub(crate) fn transfer(escrow: Address) -> Transfer {
    Transfer {
        escrow,
        to: Wallet::random().address(),
        value: U256::from(PEOPLE_FROM_WEI),
        request_nonce: None,
    }
}

pub(crate) fn request_hash(transaction: &Value) -> &str {
    text(transaction, "requestHash").unwrap()
}

fn install(text: &str) -> Result<Installation> {
    let installation = Installation::new(text)?;
    installation.configure(configuration::patience(text))?;
    Ok(installation)
}
