//! Certificates and messages of independent implementations; `fixtures/README.md` says how they were made.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod certificates;
mod composed;
mod messages;
mod possession;
mod software;
