//! kill -9 anywhere in the main job, then a restart: one stored signature per digest, one transaction
//! on the chain, an audit log that verifies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, U256};
use anyhow::{Context, Result, ensure};
use countersign_tests::gateway::Gateway;
use countersign_tests::lying_node::{Gate, Lie};
use countersign_tests::main_job::{MainJob, Transfer};
use countersign_tests::wait;
use tokio::time::timeout;

use crate::control::order;
use crate::stand::{Stand, transfer};

/// Where the main job stands when the gateway dies, as its clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    CreateUser,
    Propose,
    ApproveAsAgent,
    ApproveAsUser,
    Execute,
}

const STEPS: [Step; 5] =
    [Step::CreateUser, Step::Propose, Step::ApproveAsAgent, Step::ApproveAsUser, Step::Execute];
const GATE_DEADLINE: Duration = Duration::from_secs(30);

/// What the clients remember over a crash. The request nonce makes every step repeatable.
struct Journey {
    stand: Stand,
    transfer: Option<Transfer>,
}

impl Journey {
    async fn new() -> Result<Journey> {
        Ok(Journey { stand: Stand::on_sqlite().await?, transfer: None })
    }

    fn request_hash(&self) -> Result<String> {
        let transfer = self.transfer.context("nothing has been proposed")?;
        Ok(transfer.request_hash(self.stand.anvil.chain_id(), 1).to_string())
    }

    /// Takes one step; taken again after a crash, it finds what the first time left behind.
    async fn take(&mut self, step: Step, gateway: &Gateway) -> Result<()> {
        let job = self.stand.job(gateway);
        match step {
            Step::CreateUser => {
                let escrow = enrol(&job).await?;
                self.stand.fund(escrow).await?;
                self.transfer = Some(Transfer { request_nonce: Some(1), ..transfer(escrow) });
            }
            Step::Propose => {
                let transfer = self.transfer.context("no user")?;
                job.propose(&transfer).await?.expect(201)?;
            }
            Step::ApproveAsAgent => drop(job.approve_as_agent(&self.request_hash()?).await?.expect(201)?),
            Step::ApproveAsUser => {
                let reply = job.approve_as_user(&self.request_hash()?).await?;
                // 409: the vote was counted before the crash, and the transaction has moved on since.
                ensure!(matches!(reply.status, 201 | 409), "{}: {}", reply.status, reply.body);
            }
            Step::Execute => {
                let executed = job.final_transaction(&self.request_hash()?).await?;
                ensure!(executed["status"] == "EXECUTED", "{executed}\n{}", gateway.output());
            }
        }
        Ok(())
    }

    /// Ends the job with the promises kept.
    async fn check(self, gateway: Gateway) -> Result<()> {
        let transfer = self.transfer.context("nothing has been proposed")?;
        let chain = self.stand.anvil.node();
        assert_eq!(chain.balance(transfer.to).await?, transfer.value, "paid other than once");
        assert_eq!(chain.transaction_count(transfer.escrow).await?, U256::ONE);
        // The token's signatures are not deterministic: a second one of a digest would show as other bytes.
        let broadcast: BTreeSet<String> =
            self.stand.node.calls("eth_sendRawTransaction").iter().map(ToString::to_string).collect();
        assert_eq!(broadcast.len(), 1, "more than one signed transaction left the gateway: {broadcast:?}");
        wait::until("interrupted keys to be ended", GATE_DEADLINE, async || {
            let listed = order(&self.stand.installation, &["key", "list"])?;
            let keys = listed["keys"].as_array().context("no list of keys")?;
            let wallets = |state: &str| {
                keys.iter().filter(|key| key["purpose"] == "wallet" && key["state"] == state).count()
            };
            ensure!(wallets("active") == 1, "a key that no user has is in use: {listed}");
            Ok((wallets("generating") == 0).then_some(()))
        })
        .await
        .with_context(|| gateway.output())?;
        self.stand.finish(gateway).await
    }
}

async fn enrol(job: &MainJob<'_>) -> Result<Address> {
    match job.find_user().await? {
        Some(escrow) => Ok(escrow),
        None => job.create_user().await,
    }
}

#[tokio::test]
async fn killed_after_every_step() -> Result<()> {
    let mut journey = Journey::new().await?;
    for step in STEPS {
        let gateway = journey.stand.installation.start().await?;
        journey.take(step, &gateway).await.with_context(|| gateway.output())?;
        gateway.kill()?;
    }
    let gateway = journey.stand.installation.start().await?;
    journey.take(Step::Execute, &gateway).await?;
    journey.check(gateway).await
}

/// Kills the gateway while `step` is under way, ever later, until the step is done.
async fn killed_during(step: Step) -> Result<()> {
    let mut journey = Journey::new().await?;
    let before = STEPS.iter().take_while(|earlier| **earlier != step);
    let gateway = journey.stand.installation.start().await?;
    for earlier in before {
        journey.take(*earlier, &gateway).await?;
    }
    gateway.kill()?;
    for delay_ms in [1, 2, 4, 8, 16, 32, 64, 128] {
        let gateway = journey.stand.installation.start().await?;
        // Cut off in the middle or failed half-way: either is what this test is about.
        let _ = timeout(Duration::from_millis(delay_ms), journey.take(step, &gateway)).await;
        gateway.kill()?;
    }
    let gateway = journey.stand.installation.start().await?;
    for remaining in STEPS.iter().skip_while(|earlier| **earlier != step) {
        journey.take(*remaining, &gateway).await.with_context(|| gateway.output())?;
    }
    journey.check(gateway).await
}

#[tokio::test]
async fn killed_during_the_creation_of_a_user() -> Result<()> {
    killed_during(Step::CreateUser).await
}

#[tokio::test]
async fn killed_during_the_proposal() -> Result<()> {
    killed_during(Step::Propose).await
}

#[tokio::test]
async fn killed_during_the_agents_vote() -> Result<()> {
    killed_during(Step::ApproveAsAgent).await
}

#[tokio::test]
async fn killed_during_the_last_vote_and_the_signature() -> Result<()> {
    killed_during(Step::ApproveAsUser).await
}

#[tokio::test]
async fn killed_during_the_execution() -> Result<()> {
    killed_during(Step::Execute).await
}

/// Kills the gateway while one of its calls to the node is halted at `lie`'s gate.
async fn killed_at(method: &str, lie: fn(Arc<Gate>) -> Lie) -> Result<()> {
    let mut journey = Journey::new().await?;
    let gateway = journey.stand.installation.start().await?;
    for step in [Step::CreateUser, Step::Propose, Step::ApproveAsAgent] {
        journey.take(step, &gateway).await?;
    }
    let gate = Gate::new();
    journey.stand.node.lie(method, lie(Arc::clone(&gate)));
    {
        // The vote may be answered before the call is made, or wait for it: only the gate decides.
        let vote = async {
            let answered = journey.take(Step::ApproveAsUser, &gateway).await;
            std::future::pending::<()>().await;
            answered
        };
        tokio::select! {
            answered = vote => answered?,
            reached = timeout(GATE_DEADLINE, gate.reached()) => reached.context("the gateway never got there")?,
        }
    }
    gateway.kill()?;
    journey.stand.node.tell_the_truth(method);
    gate.release();

    let gateway = journey.stand.installation.start().await?;
    for step in [Step::ApproveAsUser, Step::Execute] {
        journey.take(step, &gateway).await.with_context(|| gateway.output())?;
    }
    journey.check(gateway).await
}

#[tokio::test]
async fn killed_before_the_node_hears_of_the_transaction() -> Result<()> {
    killed_at("eth_sendRawTransaction", Lie::HoldBefore).await
}

#[tokio::test]
async fn killed_before_the_nodes_answer_arrives() -> Result<()> {
    killed_at("eth_sendRawTransaction", Lie::HoldAfter).await
}

#[tokio::test]
async fn killed_while_asking_for_the_receipt() -> Result<()> {
    killed_at("eth_getTransactionReceipt", Lie::HoldAfter).await
}
