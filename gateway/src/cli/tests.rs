//! What the command line accepts and says.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use super::*;
use crate::{
    config::ConfigError,
    control::{ControlError, Failure},
    data_dir::DataDirError,
};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("countersign").chain(line.split_whitespace()))
}

/// The help of a command and of everything below it.
fn help(command: &mut clap::Command, path: &str, text: &mut String) {
    let path = format!("{path} {}", command.get_name());
    write!(text, "===={path}\n{}\n", command.render_help()).expect("written");
    for sub in command.get_subcommands_mut().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        help(sub, &path, text);
    }
}

#[test]
fn help_of_every_command() {
    let mut text = String::new();
    let mut command = Cli::command();
    command.build();
    help(&mut command, "", &mut text);
    insta::assert_snapshot!(text);
}

#[test]
fn definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn each_command_is_accepted() {
    let id = "01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45";
    let operator = &format!("--url http://127.0.0.1:1 --operator {id} --key k");
    for line in [
        "dev --data-dir d",
        "dev --data-dir d --listen 127.0.0.1:1 --operator-listen 127.0.0.1:2 --config f",
        "init --config f --organization acme --development",
        "init --config f --organization acme --charter c.toml",
        "serve --config f",
        "doctor --data-dir d --clear-pin-latch",
        "migrate --config f --check",
        "apikey create --data-dir d --label agent --name bot --expires-in-days 30",
        "apikey list --config f --json",
        "transaction dry-run --data-dir d --escrow 0x1111111111111111111111111111111111111111 --to \
         0x1111111111111111111111111111111111111111 --value 7 --data 0xa9059cbb --chain eip155:1 --json",
        &format!("apikey revoke {id} --config f"),
        "key list --data-dir d",
        &format!("key retire {id} --data-dir d"),
        "contract-account enrol 0x1111111111111111111111111111111111111111 --chain eip155:1 --config f",
        "contract-account withdraw 0x1111111111111111111111111111111111111111 --data-dir d",
        "contract-account list --data-dir d --json",
        "freeze organization --data-dir d",
        &format!("freeze key {id} --data-dir d --lift"),
        "plugin install c.wasm --data-dir d --name orion --settings s.json --grant log --authority orion",
        "plugin install c.wasm --data-dir d --name limits --gate",
        "plugin list --data-dir d",
        "plugin new spend-limit --lang rust",
        "plugin build",
        "plugin build spend-limit --json",
        "plugin check c.wasm --settings s.json",
        "plugin test c.wasm",
        "plugin test c.wasm a.json b.json --json",
        "plugin bench c.wasm a.json --case one --count 10",
        &format!("plugin replay {id} --data-dir d"),
        "charter-recovery begin --config f --so-pin-file p --charter c.toml --reason fire --json",
        &format!("charter-recovery complete {id} --config f --so-pin-file p"),
        &format!("operator charter show {operator}"),
        &format!("operator charter propose {operator} --enrol Ann=author+approver=ann.pem --reason joins"),
        &format!(
            "operator charter propose {operator} --revoke {id} --roles {id}=auditor --approvals-required 3 --reason x"
        ),
        &format!("operator revoke {id} {operator}"),
        &format!("operator policy rollback 7 {operator} --organization {id} --reason wrong"),
        "audit verify --data-dir d --config f --json",
        &format!("audit verify --config f --key {}", "ab".repeat(32)),
        "audit export --data-dir d --output o",
        "audit accept-rollback --config f --to 7 --approval a --approval b",
        "openapi",
        "openapi core",
        "compile-plugin",
        "config-reference --example",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn incomplete_or_contradictory_lines_are_refused() {
    for line in [
        "",
        "dev",
        "serve",
        "init --config f --organization acme",
        "init --config f --organization acme --development --charter c.toml",
        "audit verify",
        "charter-recovery begin --config f --charter c.toml --reason fire",
        "operator charter propose --url u --operator 01980f3e-7b1c-7e53-9d0a-0d6a3c1b2f45 --key k --enrol Ann=king=f --reason x",
        "apikey create --data-dir d --name bot",
        "plugin install c.wasm --data-dir d --name both --gate --authority orion",
        "plugin install c.wasm --data-dir d --name neither",
        "plugin new ../elsewhere",
        "plugin new p --lang cobol",
        "audit verify --data-dir d --key 1234",
        "freeze key not-an-id --data-dir d",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn a_token_that_exists_is_no_fault_of_the_module() {
    let error =
        anyhow::Error::from(hsm::HsmError::InvalidInput(hsm::TOKEN_EXISTS)).context("initializing the token");
    let advice = advice::of(&error).unwrap();
    assert!(advice.contains("leave off `--init-token`") && advice.contains("`hsm.token_label`"), "{advice}");
}

#[test]
fn cause_of_a_failure_is_its_exit_code() {
    let status = |error: anyhow::Error| Status::of(&error.context("opening the gateway")).code();
    assert_eq!(status(anyhow::anyhow!("anything")), 1);
    assert_eq!(status(ConfigError::Missing("hsm.module").into()), 2);
    let cause = hsm::Cause { text: "the token refused the pin".to_owned(), return_code: None };
    assert_eq!(status(hsm::HsmError::PinLatched(cause).into()), 3);
    assert_eq!(status(DataDirError::InUse("d".into()).into()), 4);
    assert_eq!(status(ControlError::Silent("d".into()).into()), 4);
    let failure = Failure { status: Status::PinLatched, message: String::new(), causes: Vec::new() };
    assert_eq!(status(ControlError::Failed(failure).into()), 3);
}
