//! `countersign plugin`: for authors, and for those who install what authors make.

use anyhow::Result;
use clap::Subcommand;

use super::status::Status;

mod backtest;
mod bench;
mod build;
mod cases;
mod check;
mod comparison;
mod create;
mod diff;
mod evaluations;
mod install;
mod list;
mod manual;
mod record;
mod replay;
mod revision;
mod revoke;
mod sign;
mod test;
mod toolchain;
mod unbind;
mod workbench;

pub(super) use self::{
    evaluations::{read_evaluations, read_plugin},
    install::{ModeArgument, NewPlugin, PowerArgument, install},
    list::list,
    record::record,
    replay::replay,
    revision::{RevisionArguments, RevisionContents},
    revoke::revoke,
    unbind::unbind,
};

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Write a small project that builds at once.
    New(create::New),
    /// Build a project's component.
    Build(build::Build),
    /// Examine a component: imports, exports, size, settings, wanted capabilities, and what to do about each fault.
    Check(check::Check),
    /// Run cases against a component and show what is not as expected.
    Test(test::Test),
    /// Measure an evaluation: time in a fresh sandbox and in one that is used again, memory, fuel.
    Bench(bench::Bench),
    /// Sign for a component with its settings and grants, with an operator's key, away from the gateway.
    Sign(sign::Sign),
    /// Store a component with its settings as a new revision, and bind it in a new revision of the policy.
    Install(install::Install),
    /// Bind a plugin no more, in a new revision of the policy; where there are operators, they propose it.
    Unbind(unbind::Unbind),
    /// List the organization's plugin revisions and where they are bound.
    List(list::List),
    /// End a revision at once: whatever binds it denies from now on. Nothing takes it back.
    Revoke(revoke::Revoke),
    /// Print what plugins were asked and told, as cases for `plugin test`: about a transaction, or by services and nodes now.
    Record(record::Record),
    /// Print the contract with plugins as one page.
    Manual(manual::Manual),
    /// Evaluate a transaction's records again and compare, bit for bit. Nothing is decided anew.
    Replay(replay::Replay),
    /// Ask a candidate about past transactions, from their records, and show where its own effect would have been
    /// another: where another plugin denied anyway is told, what people said is not weighed.
    Backtest(backtest::Backtest),
    /// Compare the effect of what a shadow has said about past transactions with that of one that was enforced.
    Diff(diff::Diff),
}

impl PluginCommand {
    pub(super) async fn run(self) -> Result<Status> {
        match self {
            Self::New(new) => new.run(),
            Self::Build(build) => build.run().await,
            Self::Check(check) => check.run().await,
            Self::Test(test) => test.run().await,
            Self::Bench(bench) => bench.run().await,
            Self::Sign(sign) => sign.run(),
            Self::Install(install) => install.run().await,
            Self::Unbind(unbind) => unbind.run().await,
            Self::List(list) => list.run().await,
            Self::Revoke(revoke) => revoke.run().await,
            Self::Record(record) => record.run().await,
            Self::Manual(_) => manual::Manual::run(),
            Self::Replay(replay) => replay.run().await,
            Self::Backtest(backtest) => backtest.run().await,
            Self::Diff(diff) => diff.run().await,
        }
    }
}
