//! Users whose wallet is a contract, and how such a wallet proves what it signs (ERC-1271).
//!
//! What a contract takes for its own signature only a node can say, and a node may lie (T9). So it is asked for users
//! alone whom an operator enrolled as contract accounts, on the one chain named then; several nodes must agree about
//! one finalized block; and a vote proven so is never a signed one. A user is one or the other: for a contract account
//! no recovered key counts, and for everybody else no contract is asked.

use std::{net::IpAddr, time::Duration};

use alloy_primitives::{Address, B256};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    actor::OpCtx,
    audit::AuditEvent,
    chain::{ChainId, ContractQuestion, block_since},
    changes::{ChangeSet, CommitError, Contested, Write},
    credentials::revoking_own_keys,
    error::{Error, Result},
    identity::{User, create::enrolment, require_user},
    ids::PrincipalId,
    ports::Services,
    sessions::{EndReason, ending_every_session},
};

mod turns;

use turns::{Asking, Turns};

/// How contract accounts are asked; absent where they are not taken.
pub struct ContractAccounts {
    limits: ContractAccountLimits,
    turns: Turns,
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
    /// Those for one organization's users. Default 8.
    pub questions_per_organization_max: usize,
    /// Those about one contract account, whoever asks. Default 4.
    pub questions_per_account_max: usize,
    /// Those that requests from one source cause. Default 2.
    pub questions_per_source_max: usize,
}

const AGREEMENT_MIN: usize = 2;
const CHAIN: &str = "the chain of the contract account";
const ROOM: &str = "room for another question to contract accounts";

/// Whether the error is that nodes were asked about a contract and gave no answer. That costs whoever caused it as much
/// as a signature that does not fit: otherwise strangers could have nodes asked for ever (T25).
pub fn is_unanswered(error: &Error) -> bool {
    matches!(error, Error::Unavailable { what: CHAIN, .. })
}

impl ContractAccounts {
    pub fn new(limits: ContractAccountLimits) -> Self {
        let agreement = limits.agreement.max(AGREEMENT_MIN);
        Self { limits: ContractAccountLimits { agreement, ..limits }, turns: Turns::default() }
    }

    pub fn signature_bytes_max(&self) -> usize {
        self.limits.signature_bytes_max
    }

    /// Whether the contract takes the signature. Whatever keeps the nodes from agreeing is an error: nothing is
    /// believed then.
    async fn takes(
        &self,
        services: &Services,
        asking: Asking,
        (digest, signature): (B256, &[u8]),
    ) -> Result<bool> {
        let Asking { account, chain, .. } = asking;
        let away = |cause: &'static str| Error::unavailable(CHAIN, cause);
        let chain = services.chains.get(&chain).ok_or_else(|| away("the chain is not configured"))?;
        let _turn = self.turns.take(asking, &self.limits).map_err(|cause| Error::unavailable(ROOM, cause))?;
        let question = ContractQuestion {
            account,
            digest,
            signature,
            gas_max: self.limits.call_gas_max,
            agreement: self.limits.agreement,
            block_since: block_since(services.clock.now(), self.limits.block_age_max),
        };
        let answer = timeout(self.limits.answer_timeout, chain.node.takes_signature(&question)).await;
        let answer = answer.map_err(|_| away("its nodes did not agree in time"))?;
        answer.map_err(|error| Error::unavailable(CHAIN, error))
    }
}

/// Proves that the user's contract took `signature` for its own over `digest`. Anything but the nodes' agreement that it
/// did is a failure; so is a user whose wallet is no contract. `source` is who asks, as rates count it.
pub async fn prove_contract_signature(
    services: &Services,
    (user, source): (&User, IpAddr),
    digest: B256,
    signature: &[u8],
) -> Result<()> {
    let (Some(accounts), Some(chain)) = (&services.contract_accounts, user.contract_chain) else {
        return Err(Error::Unauthenticated);
    };
    if signature.len() > accounts.limits.signature_bytes_max {
        return Err(Error::Unauthenticated);
    }
    let organization = user.organization;
    let asking = Asking { organization, account: user.ethereum_address, chain, source: Some(source) };
    if accounts.takes(services, asking, (digest, signature)).await? {
        Ok(())
    } else {
        Err(Error::Unauthenticated)
    }
}

/// Makes the address a contract account on the chain: its user proves requests and logins by ERC-1271 from then on, and
/// by nothing else. A user who does not exist is made. One who does loses sessions and API keys.
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
    let asking = Asking { organization: ctx.organization, account: address, chain, source: None };
    refuse_who_takes_anything(services, accounts, asking).await?;
    switch(ctx, services, address, Some(chain)).await
}

/// Makes the user's wallet a plain one again. They lose sessions and API keys.
pub async fn withdraw_contract_account(ctx: &OpCtx, services: &Services, address: Address) -> Result<User> {
    require_user(services, ctx.organization, address).await?;
    switch(ctx, services, address, None).await
}

/// Nobody signed a digest of chance with zeros. It also shows whether the nodes can be asked at all.
async fn refuse_who_takes_anything(
    services: &Services,
    accounts: &ContractAccounts,
    asking: Asking,
) -> Result<()> {
    let mut digest = B256::ZERO;
    services.entropy.fill(&mut digest.0);
    if accounts.takes(services, asking, (digest, &[0; 65])).await? {
        return Err(Error::Conflict("the contract takes a signature that nobody made"));
    }
    Ok(())
}

/// With the switch, in the same commit, everything ends that was proven in the old way: the sessions that there are, those
/// of logins under way, which carry the old epoch, and what sessions made.
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
            Some(user) => switched(ctx, services, user.into_value(), contract_chain).await?,
            None => {
                let id = PrincipalId::generate(ctx.now, services.entropy.as_ref());
                // Whoever logs in as an unknown address has done so by its key.
                let user = User { contract_chain, wallet_epoch: 1, ..User::without_escrow(ctx, id, address) };
                let changes = enrolment(ctx, services, &user);
                (user, changes)
            }
        };
        match services.store.commit(changes).await {
            Ok(()) => return Ok(user),
            Err(CommitError::Conflict(Contested::Version | Contested::UserAddress)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the database", "too many writers wanted the same user"))
}

async fn switched(
    ctx: &OpCtx,
    services: &Services,
    user: User,
    contract_chain: Option<ChainId>,
) -> Result<(User, ChangeSet)> {
    let (version, wallet_epoch) = (user.version + 1, user.wallet_epoch + 1);
    let user = User { contract_chain, wallet_epoch, version, updated_at: ctx.now, ..user };
    let detail = json!({"ethereumAddress": user.ethereum_address, "contractChain": contract_chain});
    let event = AuditEvent::new(ctx, "user.contract_account_switched", format!("user {}", user.id), detail);
    let changes = ChangeSet::new(event).write(Write::UpdateUser(services.sealer.seal(user.clone())));
    let changes = revoking_own_keys(ctx, services, user.id, changes).await?;
    let changes = ending_every_session(ctx, services, user.id, (changes, EndReason::WalletSwitched)).await?;
    Ok((user, changes))
}
