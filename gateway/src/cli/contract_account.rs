//! `countersign contract-account enrol | withdraw | list`.

use anyhow::Result;
use clap::{Args, Subcommand};
use gateway_domain::{
    Address,
    actor::OpCtx,
    chain::ChainId,
    identity::{User, enrol_contract_account, withdraw_contract_account},
    ids::PrincipalId,
    ports::IdentityReads as _,
};
use serde_json::{Value, json};

use super::{
    order::{Act, Answer},
    output::Format,
    place::OrganizationPlace,
    status::Status,
};
use crate::wiring::Gateway;

const LIST_MAX: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum ContractAccountCommand {
    /// Take an address for a contract that says itself what it signed (ERC-1271), on one chain. Its user is made if
    /// there is none.
    Enrol(Enrol),
    /// Take the address for a plain wallet again.
    Withdraw(Withdraw),
    /// List the organization's contract accounts.
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct Enrol {
    #[command(flatten)]
    place: OrganizationPlace,
    /// The contract's address.
    address: Address,
    /// CAIP-2 id of the chain on which it is asked.
    #[arg(long, value_name = "CHAIN")]
    chain: ChainId,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Withdraw {
    #[command(flatten)]
    place: OrganizationPlace,
    /// The contract's address.
    address: Address,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: OrganizationPlace,
    /// Id of the user behind which the list begins, where it is longer than one answer.
    #[arg(long, value_name = "ID")]
    after: Option<PrincipalId>,
    #[command(flatten)]
    format: Format,
}

impl ContractAccountCommand {
    pub(super) async fn run(self) -> Result<Status> {
        let (place, act, format) = match self {
            Self::Enrol(Enrol { place, address, chain, format }) => {
                (place, Act::EnrolContractAccount { address, chain }, format)
            }
            Self::Withdraw(Withdraw { place, address, format }) => {
                (place, Act::WithdrawContractAccount(address), format)
            }
            Self::List(List { place, after, format }) => (place, Act::ListContractAccounts { after }, format),
        };
        format.print_answer(&place.order(act).await?)
    }
}

pub(super) async fn enrol(
    gateway: &Gateway,
    ctx: &OpCtx,
    address: Address,
    chain: ChainId,
) -> Result<Answer> {
    let user = enrol_contract_account(ctx, &gateway.services, address, chain).await?;
    Ok(Answer { value: described(&user), lines: vec![line(&user)] })
}

pub(super) async fn withdraw(gateway: &Gateway, ctx: &OpCtx, address: Address) -> Result<Answer> {
    let user = withdraw_contract_account(ctx, &gateway.services, address).await?;
    Ok(Answer { value: described(&user), lines: vec![line(&user)] })
}

pub(super) async fn list(gateway: &Gateway, ctx: &OpCtx, after: Option<PrincipalId>) -> Result<Answer> {
    let users = gateway.store.contract_accounts(ctx.organization, after, LIST_MAX).await?;
    let values: Vec<_> = users.iter().map(|user| described(user)).collect();
    let lines = users.iter().map(|user| line(user)).collect();
    Ok(Answer { value: json!({ "contractAccounts": values }), lines })
}

fn line(user: &User) -> String {
    let chain = user.contract_chain.map_or_else(|| "plain wallet".to_owned(), |chain| chain.to_string());
    format!("{}  {}  {chain}", user.id, user.ethereum_address)
}

fn described(user: &User) -> Value {
    json!({ "user": user.id, "ethereumAddress": user.ethereum_address, "contractChain": user.contract_chain })
}
