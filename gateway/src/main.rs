//! `countersign`: the gateway and its operator's commands.
#![forbid(unsafe_code)]

mod adapters;
mod bootstrap;
mod checkpoints;
mod cli;
mod config;
mod control;
mod data_dir;
mod dev;
mod grants;
mod install;
mod listener;
mod nodes;
mod resealing;
mod serve;
mod shutdown;
mod system_keys;
mod telemetry;
mod unfinished_keys;
mod verification_services;
mod wiring;
mod worker;

fn main() -> std::process::ExitCode {
    cli::run()
}
