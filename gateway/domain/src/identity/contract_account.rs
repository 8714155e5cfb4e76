//! Users whose wallet is a contract, and how such a wallet proves what it signs (ERC-1271).
//!
//! What a contract takes for its own signature only a node can say, and a node may lie (T9). So it is asked for users
//! alone whom an operator enrolled as contract accounts, on the one chain named then; several nodes must agree about
//! one finalized block; and a vote proven so is never a signed one. A user is one or the other: for a contract account
//! no recovered key counts, and for everybody else no contract is asked.

use std::time::Duration;

use alloy_primitives::{Address, B256};
use serde_json::json;
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    chain::{ChainId, ContractQuestion},
    changes::{ChangeSet, CommitError, Contested, Write},
    error::{Error, Result},
    identity::{User, create::enrolment, require_user},
    ids::PrincipalId,
    ports::Services,
    sessions::end_every_session,
};

/// How contract accounts are asked; absent where they are not taken.
pub struct ContractAccounts {
    limits: ContractAccountLimits,
    under_way: Semaphore,
}

/// Bounds of a question to contract accounts, all configurable.
#[derive(Clone, Copy, Debug)]
pub struct ContractAccountLimits {
    /// Nodes that must say yes while none says no; fewer than 2 reads as 2. Default 2.
    pub agreement: usize,
    /// Gas that a contract may use for its answer. Default 1,000,000.
    pub call_gas_max: u64,
    /// The longest all of it may take. Default 25 s.
    pub answer_timeout: Duration,
    /// How old the finalized block may be that is asked about. Default 1 h.
    pub block_age_max: Duration,
    /// Longest signature of a contract account. Default 4096.
    pub signature_bytes_max: usize,
    /// Questions under way at once; more are refused. Default 16.
    pub questions_max: usize,
}

const AGREEMENT_MIN: usize = 2;
const CHAIN: &str = "the chain of the contract account";

impl ContractAccounts {
    pub fn new(limits: ContractAccountLimits) -> Self {
        let agreement = limits.agreement.max(AGREEMENT_MIN);
        Self {
            limits: ContractAccountLimits { agreement, ..limits },
            under_way: Semaphore::new(limits.questions_max),
        }
    }

    pub fn signature_bytes_max(&self) -> usize {
        self.limits.signature_bytes_max
    }

    /// Whether the contract takes the signature. Whatever keeps the nodes from agreeing is an error: nothing is
    /// believed then.
    async fn takes(
        &self,
        services: &Services,
        (account, chain): (Address, ChainId),
        (digest, signature): (B256, &[u8]),
    ) -> Result<bool> {
        let away = |cause: &'static str| Error::unavailable(CHAIN, cause);
        let chain = services.chains.get(&chain).ok_or_else(|| away("the chain is not configured"))?;
        let _turn = self.under_way.try_acquire().map_err(|_| away("too many questions are under way"))?;
        let since = services.clock.now().minus(self.limits.block_age_max);
        let question = ContractQuestion {
            account,
            digest,
            signature,
            gas_max: self.limits.call_gas_max,
            agreement: self.limits.agreement,
            block_since: u64::try_from(since.unix_seconds()).unwrap_or(0),
        };
        let answer = timeout(self.limits.answer_timeout, chain.node.takes_signature(&question)).await;
        let answer = answer.map_err(|_| away("its nodes did not agree in time"))?;
        answer.map_err(|error| Error::unavailable(CHAIN, error))
    }
}

/// Proves that the user's contract took `signature` for its own over `digest`. Anything but the nodes' agreement that it
/// did is a failure; so is a user whose wallet is no contract.
pub async fn prove_contract_signature(
    services: &Services,
    user: &User,
    digest: B256,
    signature: &[u8],
) -> Result<()> {
    let (Some(accounts), Some(chain)) = (&services.contract_accounts, user.contract_chain) else {
        return Err(Error::Unauthenticated);
    };
    if signature.len() > accounts.limits.signature_bytes_max {
        return Err(Error::Unauthenticated);
    }
    let account = (user.ethereum_address, chain);
    if accounts.takes(services, account, (digest, signature)).await? {
        Ok(())
    } else {
        Err(Error::Unauthenticated)
    }
}

/// Makes the address a contract account on the chain: its user proves requests and logins by ERC-1271 from then on, and
/// by nothing else. A user who does not exist is made. One who does loses their sessions.
pub async fn enrol_contract_account(
    ctx: &OpCtx,
    services: &Services,
    address: Address,
    chain: ChainId,
) -> Result<User> {
    let accounts = services.contract_accounts.as_ref();
    let accounts = accounts.ok_or(Error::Unconfigured("core.contract_accounts.enabled"))?;
    services.require_chain(chain)?;
    if services.store.address_is_hsm_key(address).await? {
        return Err(Error::Conflict("the address belongs to a key of this gateway"));
    }
    refuse_who_takes_anything(services, accounts, (address, chain)).await?;
    switch(ctx, services, address, Some(chain)).await
}

/// Makes the user's wallet a plain one again. They lose their sessions.
pub async fn withdraw_contract_account(ctx: &OpCtx, services: &Services, address: Address) -> Result<User> {
    require_user(services, ctx.organization, address).await?;
    switch(ctx, services, address, None).await
}

/// Nobody signed a digest of chance with zeros. It also shows whether the nodes can be asked at all.
async fn refuse_who_takes_anything(
    services: &Services,
    accounts: &ContractAccounts,
    account: (Address, ChainId),
) -> Result<()> {
    let mut digest = B256::ZERO;
    services.entropy.fill(&mut digest.0);
    if accounts.takes(services, account, (digest, &[0; 65])).await? {
        return Err(Error::Conflict("the contract takes a signature that nobody made"));
    }
    Ok(())
}

async fn switch(
    ctx: &OpCtx,
    services: &Services,
    address: Address,
    contract_chain: Option<ChainId>,
) -> Result<User> {
    for _ in 0..services.limits.contest_attempts_max {
        let found = services.store.user_by_address(ctx.organization, address).await?;
        let (user, changes) = match found {
            Some(user) if user.contract_chain == contract_chain => return Ok(user.into_value()),
            Some(user) => {
                // What was proven in the old way ends, also if this process dies in between.
                end_every_session(ctx, services, user.id).await?;
                let user = user.into_value();
                let version = user.version + 1;
                let switched = User { contract_chain, version, updated_at: ctx.now, ..user };
                let detail = json!({"ethereumAddress": address, "contractChain": contract_chain});
                let subject = format!("user {}", switched.id);
                let event = AuditEvent::new(ctx, "user.contract_account_switched", subject, detail);
                let write = Write::UpdateUser(services.sealer.seal(switched.clone()));
                (switched, ChangeSet::new(event).write(write))
            }
            None => {
                let id = PrincipalId::generate(ctx.now, services.entropy.as_ref());
                let user = User { contract_chain, ..User::without_escrow(ctx, id, address) };
                let changes = enrolment(ctx, services, &user);
                (user, changes)
            }
        };
        match services.store.commit(changes).await {
            Ok(()) => {
                // A login that was under way.
                end_every_session(ctx, services, user.id).await?;
                return Ok(user);
            }
            Err(CommitError::Conflict(Contested::Version | Contested::UserAddress)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same user"))
}
