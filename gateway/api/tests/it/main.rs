//! The public router as its clients meet it, over the real store. The HSM, the plugin and the node are doubles:
//! they have tests of their own.
#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

mod abort;
mod activations;
mod authorization;
mod bad_input;
mod bounds;
mod contests;
mod contract;
mod contract_accounts;
mod denials;
mod disclosures;
mod doubles;
mod encrypted;
mod interrupted;
mod main_job;
mod masked;
mod not_asked;
mod openpgp;
mod operator;
mod operators;
mod oracle;
mod pages;
mod people;
mod plugin_state;
mod providers;
mod races;
mod received;
mod registrations;
mod scopes;
mod second_votes;
mod sessions;
mod settings;
mod shadows;
mod sign_in;
mod signatures;
mod simulation;
mod strangers;
mod user_api_keys;
mod vaults;
mod vendors;
mod wallet;
mod world;
