//! The command line: one small file a command. Answers go to standard output, everything else to standard error.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

mod advice;
mod apikey;
mod audit;
mod charter_recovery;
mod contract_account;
mod dev;
mod doctor;
mod freeze;
mod init;
mod key;
mod migrate;
mod openapi;
mod operator;
mod order;
mod output;
mod place;
mod plugin;
mod reference;
mod serve;
mod standing;
mod status;
mod transaction;
mod vault;
mod verification_service;

pub(crate) use order::Order;
pub(crate) use status::Status;

#[cfg(test)]
mod tests;

/// A self-hosted custody gateway: clients ask that something be signed, plugins and people decide, a PKCS#11 token
/// signs.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, after_help = status::HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve with everything embedded: SQLite, a SoftHSM token, a demo organization. For trying out, on this machine.
    Dev(dev::Dev),
    /// Prepare a new deployment: keys on the token, database, first organization and API key. Shows each secret once.
    Init(init::Init),
    /// Serve a deployment that `init` has prepared.
    Serve(serve::Serve),
    /// Examine token, database and keys, and say what to do about each fault.
    Doctor(doctor::Doctor),
    /// Bring the database up to this version.
    Migrate(migrate::Migrate),
    /// Make, list and revoke API keys.
    #[command(subcommand)]
    Apikey(apikey::ApiKeyCommand),
    /// List and retire keys of the token.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Make vaults, and put keys into them.
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    /// Add, list and switch verification services.
    #[command(subcommand)]
    VerificationService(verification_service::VerificationServiceCommand),
    /// Enrol users whose wallet is a contract.
    #[command(subcommand)]
    ContractAccount(contract_account::ContractAccountCommand),
    /// Stop an organization or a key from signing and from opening messages, or a vault's keys from signing, at once.
    Freeze(freeze::Freeze),
    /// List transactions that are not signed, and take them back.
    #[command(subcommand)]
    Transaction(transaction::TransactionCommand),
    /// Install and list plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// What operators do: make a key, propose changes, approve them.
    #[command(subcommand)]
    Operator(operator::OperatorCommand),
    /// Name new operators where the charter's have lost their keys.
    #[command(subcommand)]
    CharterRecovery(charter_recovery::CharterRecoveryCommand),
    /// Check or copy the audit log, without the gateway.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print the OpenAPI document of an API family.
    Openapi(openapi::Openapi),
    /// Compile the component on standard input, under limits; for the plugin host.
    #[command(hide = true, name = crate::wiring::COMPILE_COMMAND)]
    CompilePlugin,
    /// Print the reference of the configuration.
    #[command(hide = true)]
    ConfigReference(reference::ConfigReference),
    /// List every command and what it may bring about.
    #[command(hide = true)]
    Commands(standing::Commands),
}

/// Runs the command that the process was started with.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are such errors too, and go to standard output.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Status::Usage.code()));
        }
    };
    if matches!(cli.command, Command::CompilePlugin) {
        return plugin_host::compile_child_main();
    }
    let status = execute(cli.command).unwrap_or_else(|error| {
        output::complain(&error);
        Status::of(&error)
    });
    // Whoever printed has flushed. Returning would run the module's exit handlers.
    hsm::end_process(status.code())
}

fn execute(command: Command) -> Result<Status> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(dispatch(command))
}

async fn dispatch(command: Command) -> Result<Status> {
    if !matches!(command, Command::Dev(_) | Command::Serve(_)) {
        crate::telemetry::start_for_command();
    }
    match command {
        Command::Dev(dev) => Box::pin(dev.run()).await,
        Command::Init(init) => Box::pin(init.run()).await,
        Command::Serve(serve) => Box::pin(serve.run()).await,
        Command::Doctor(doctor) => doctor.run().await,
        Command::Migrate(migrate) => migrate.run().await,
        Command::Apikey(apikey) => apikey.run().await,
        Command::Key(key) => key.run().await,
        Command::Vault(vault) => vault.run().await,
        Command::VerificationService(service) => service.run().await,
        Command::ContractAccount(account) => account.run().await,
        Command::Freeze(freeze) => freeze.run().await,
        Command::Transaction(transaction) => transaction.run().await,
        Command::Plugin(plugin) => plugin.run().await,
        Command::Operator(operator) => operator.run().await,
        Command::CharterRecovery(recovery) => Box::pin(recovery.run()).await,
        Command::Audit(audit) => audit.run().await,
        Command::Openapi(openapi) => openapi.run(),
        Command::ConfigReference(reference) => reference.run(),
        Command::Commands(commands) => commands.run(),
        Command::CompilePlugin => Ok(Status::Usage),
    }
}
