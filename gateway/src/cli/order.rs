//! What a command does in an organization, whichever process does it: the command's own while no gateway runs in the
//! data directory, else the gateway, told through the control socket.

use anyhow::{Result, bail};
use gateway_domain::{
    Address,
    chain::ChainId,
    ids::{CredentialId, KeyId, OrganizationId, PluginRevisionId, PrincipalId, TransactionId},
    policy::Mode,
    ports::OperatorReads as _,
    transactions::DryRunRequest,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    apikey, contract_account, freeze, key,
    output::internal_causes,
    place::operator_context,
    plugin,
    standing::{Standing, standing},
    status::Status,
    transaction, vault, verification_service,
};
use crate::{
    control::{Failure, Reply},
    wiring::Gateway,
};

/// An act and the organization it is done in.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    pub(super) organization: OrganizationId,
    pub(super) act: Act,
}

/// All that can be ordered of a running gateway.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Act {
    CreateApiKey(apikey::NewKey),
    ListApiKeys,
    RevokeApiKey(CredentialId),
    ListKeys,
    CreateKey(key::NewKey),
    Vault(vault::VaultAct),
    RetireKey(KeyId),
    FreezeOrganization { frozen: bool },
    FreezeKey { id: KeyId, frozen: bool },
    FreezeVault { name: String, frozen: bool },
    InstallPlugin(plugin::NewPlugin),
    UnbindPlugin { plugin: String, mode: Option<Mode> },
    ListPlugins { limit: u32 },
    RevokePlugin(PluginRevisionId),
    ReplayPlugins(TransactionId),
    ReadEvaluations { after: TransactionId },
    ReadPlugin(PluginRevisionId),
    RecordPlugins(TransactionId),
    ListTransactions { limit: u32 },
    ShowTransaction(TransactionId),
    AbortTransaction(TransactionId),
    DryRun(DryRunRequest),
    MakeRelayerKey,
    AddVerificationService(verification_service::NewService),
    ListVerificationServices,
    SwitchVerificationService { id: u32, active: bool },
    EnrolContractAccount { address: Address, chain: ChainId },
    WithdrawContractAccount(Address),
    ListContractAccounts { after: Option<PrincipalId> },
}

/// What a command prints, in both forms.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(super) value: Value,
    pub(super) lines: Vec<String>,
}

impl Order {
    pub(super) async fn carry_out(self, gateway: &Gateway) -> Result<Answer> {
        let ctx = &operator_context(gateway, self.organization);
        if self.act.enlarges() {
            // Also a charter's row could be gone.
            gateway.store.require_rows_proven().await?;
            if gateway.store.charter().await?.is_some() {
                bail!(
                    "this deployment has operators: what permits more than before is proposed and approved \
                     (`countersign operator propose`)"
                );
            }
        }
        match self.act {
            Act::CreateApiKey(new) => apikey::create(gateway, ctx, new).await,
            Act::ListApiKeys => apikey::list(gateway, ctx).await,
            Act::RevokeApiKey(id) => apikey::revoke(gateway, ctx, id).await,
            Act::ListKeys => key::list(gateway, ctx).await,
            Act::CreateKey(new) => key::create(gateway, ctx, new).await,
            Act::Vault(act) => act.carry_out(gateway, ctx).await,
            Act::RetireKey(id) => key::retire(gateway, ctx, id).await,
            Act::FreezeOrganization { frozen } => freeze::organization(gateway, ctx, frozen).await,
            Act::FreezeKey { id, frozen } => freeze::key(gateway, ctx, id, frozen).await,
            Act::FreezeVault { name, frozen } => freeze::vault(gateway, ctx, &name, frozen).await,
            Act::InstallPlugin(new) => plugin::install(gateway, ctx, new).await,
            Act::UnbindPlugin { plugin, mode } => plugin::unbind(gateway, ctx, &plugin, mode).await,
            Act::MakeRelayerKey => key::make_relayer(gateway, ctx).await,
            Act::AddVerificationService(new) => verification_service::add(gateway, ctx, new).await,
            Act::ListVerificationServices => verification_service::list(gateway, ctx).await,
            Act::SwitchVerificationService { id, active } => {
                verification_service::switch(gateway, ctx, id, active).await
            }
            Act::EnrolContractAccount { address, chain } => {
                contract_account::enrol(gateway, ctx, address, chain).await
            }
            Act::WithdrawContractAccount(address) => contract_account::withdraw(gateway, ctx, address).await,
            Act::ListContractAccounts { after } => contract_account::list(gateway, ctx, after).await,
            Act::ListPlugins { limit } => plugin::list(gateway, ctx, limit).await,
            Act::RevokePlugin(id) => plugin::revoke(gateway, ctx, id).await,
            Act::ReplayPlugins(id) => plugin::replay(gateway, ctx, id).await,
            Act::ReadEvaluations { after } => plugin::read_evaluations(gateway, ctx, after).await,
            Act::ReadPlugin(id) => plugin::read_plugin(gateway, ctx, id).await,
            Act::RecordPlugins(id) => plugin::record(gateway, ctx, id).await,
            Act::ListTransactions { limit } => transaction::list(gateway, ctx, limit).await,
            Act::ShowTransaction(id) => transaction::show(gateway, ctx, id).await,
            Act::AbortTransaction(id) => transaction::abort(gateway, ctx, id).await,
            Act::DryRun(asked) => Box::pin(transaction::dry_run(gateway, ctx, asked)).await,
        }
    }

    /// The same in the running gateway, on behalf of a command.
    pub(crate) async fn answer(self, gateway: &Gateway) -> Reply<Answer> {
        let (organization, name) = (self.organization, self.act.name());
        let done = self.carry_out(gateway).await;
        let error = done.as_ref().err().map(|error| format!("{error:#}"));
        tracing::info!(organization.id = %organization, command = name, error, "a command was carried out");
        done.map_err(|error| Failure {
            status: Status::of(&error),
            message: format!("{error:#}"),
            causes: internal_causes(&error),
        })
    }
}

impl Act {
    /// Whether it may permit more than before: then it is the operators' together (T31).
    fn enlarges(&self) -> bool {
        standing(self.name()) != Standing::Confined
    }

    /// As the command line has it, and as `standing` knows it.
    fn name(&self) -> &'static str {
        match self {
            Self::CreateApiKey(_) => "apikey create",
            Self::ListApiKeys => "apikey list",
            Self::RevokeApiKey(_) => "apikey revoke",
            Self::ListKeys => "key list",
            Self::CreateKey(new) if new.names_vault() => "key create --vault",
            Self::CreateKey(_) => "key create",
            Self::Vault(act) => act.name(),
            Self::RetireKey(_) => "key retire",
            Self::FreezeOrganization { frozen: true } => "freeze organization",
            Self::FreezeOrganization { frozen: false } => "freeze organization --lift",
            Self::FreezeKey { frozen: true, .. } => "freeze key",
            Self::FreezeKey { frozen: false, .. } => "freeze key --lift",
            Self::FreezeVault { frozen: true, .. } => "freeze vault",
            Self::FreezeVault { frozen: false, .. } => "freeze vault --lift",
            Self::InstallPlugin(_) => "plugin install",
            Self::UnbindPlugin { .. } => "plugin unbind",
            Self::ListPlugins { .. } => "plugin list",
            Self::RevokePlugin(_) => "plugin revoke",
            Self::ReplayPlugins(_) => "plugin replay",
            Self::ReadEvaluations { .. } => "plugin backtest",
            Self::ReadPlugin(_) => "plugin backtest --revision",
            Self::RecordPlugins(_) => "plugin record",
            Self::MakeRelayerKey => "key relayer",
            Self::AddVerificationService(_) => "verification-service add",
            Self::ListVerificationServices => "verification-service list",
            Self::SwitchVerificationService { active: true, .. } => "verification-service enable",
            Self::SwitchVerificationService { active: false, .. } => "verification-service disable",
            Self::EnrolContractAccount { .. } => "contract-account enrol",
            Self::WithdrawContractAccount(_) => "contract-account withdraw",
            Self::ListContractAccounts { .. } => "contract-account list",
            Self::ListTransactions { .. } => "transaction list",
            Self::ShowTransaction(_) => "transaction show",
            Self::AbortTransaction(_) => "transaction abort",
            Self::DryRun(_) => "transaction dry-run",
        }
    }
}
