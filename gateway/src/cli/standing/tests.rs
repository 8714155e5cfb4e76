use std::collections::BTreeSet;

use clap::CommandFactory as _;

use super::*;
use crate::cli::Cli;

/// Paths of the commands that have none below them, hidden ones too.
fn leaves(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
    let below: Vec<_> = command.get_subcommands().filter(|sub| sub.get_name() != "help").collect();
    if below.is_empty() {
        found.insert(path.trim_start().to_owned());
    }
    for sub in below {
        leaves(sub, &format!("{path} {}", sub.get_name()), found);
    }
}

/// A command that nobody has thought about does not pass unnoticed.
#[test]
fn every_command_stands_in_the_table_and_nothing_else_does() {
    let mut there = BTreeSet::new();
    leaves(&Cli::command(), "", &mut there);
    let named: BTreeSet<String> =
        COMMANDS.iter().map(|(name, _)| name.split(" --").next().unwrap_or_default().to_owned()).collect();
    assert_eq!(there, named);
    let distinct: BTreeSet<_> = COMMANDS.iter().map(|(name, _)| name).collect();
    assert_eq!(distinct.len(), COMMANDS.len(), "a command stands there twice");
}

#[test]
fn flags_of_the_table_are_flags_of_their_commands() {
    for (name, _) in COMMANDS.iter().filter(|(name, _)| name.contains(" --")) {
        let (path, flag) = name.split_once(" --").unwrap();
        let root = Cli::command();
        let command = path.split(' ').fold(&root, |command, part| command.find_subcommand(part).unwrap());
        assert!(command.get_arguments().any(|argument| argument.get_long() == Some(flag)), "{name}");
    }
}

#[test]
fn what_is_not_in_the_table_is_refused_like_what_permits_more() {
    assert_eq!(standing("apikey multiply"), Enlarges);
    assert_eq!(standing("apikey list"), Confined);
}
