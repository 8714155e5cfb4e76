//! Write a Countersign policy plugin: implement [`Plugin`], name the type in [`plugin!`], build a
//! `cdylib` for `wasm32-unknown-unknown`.
//!
//! ```
//! use countersign_plugin::{Claimed, Description, Outcome, Plugin, SettingsProblem, Verified, plugin};
//!
//! struct Quiet;
//!
//! impl Plugin for Quiet {
//!     fn describe() -> Description {
//!         Description {
//!             name: "quiet".into(),
//!             version: env!("CARGO_PKG_VERSION").into(),
//!             summary: "Approves transfers without data.".into(),
//!             settings_schema: "{}".into(),
//!         }
//!     }
//!
//!     fn validate_settings(_settings: &str) -> Result<(), Vec<SettingsProblem>> {
//!         Ok(())
//!     }
//!
//!     fn evaluate(verified: &Verified, _claimed: &Claimed) -> Result<Outcome, String> {
//!         if verified.data.is_empty() {
//!             Ok(Outcome::approve("plain_transfer", "The transaction carries no data."))
//!         } else {
//!             Ok(Outcome::abstain("has_data", "Contract calls are not this plugin's business."))
//!         }
//!     }
//! }
//!
//! plugin!(Quiet);
//! ```
//!
//! Every call runs in a fresh instance that is thrown away afterwards: statics do not carry anything
//! from one transaction to the next; [`state`] does, once granted. A capability that is used becomes
//! an import of the component, and the host refuses to evaluate it until its binding is granted that
//! capability. A panic fails the evaluation; its message goes to the log.

// The generated code names this crate, here and in the crates of plugin authors.
extern crate self as countersign_plugin;

mod failure;
pub mod outcome;

#[cfg(target_family = "wasm")]
mod arena;
#[cfg(target_family = "wasm")]
mod panic;

/// Bindings generated from `wit/1.0`.
pub mod bindings {
    #![allow(
        unsafe_op_in_unsafe_fn,
        unused_qualifications,
        unreachable_pub,
        missing_docs,
        clippy::all,
        clippy::pedantic,
        reason = "generated code"
    )]

    wit_bindgen::generate!({
        path: "../../wit/1.0",
        world: "plugin",
        additional_derives: [PartialEq, Eq],
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        default_bindings_module: "countersign_plugin::bindings",
        runtime_path: "countersign_plugin::wit_bindgen_runtime",
    });
}

#[doc(hidden)]
pub use wit_bindgen::rt as wit_bindgen_runtime;

pub use bindings::countersign::policy::chain;
pub use bindings::countersign::policy::clock;
pub use bindings::countersign::policy::history;
pub use bindings::countersign::policy::http;
pub use bindings::countersign::policy::settings;
pub use bindings::countersign::policy::state;
pub use bindings::countersign::policy::types::{
    Approval, ApprovalsNeeded, Argument, Call, Ceilings, Claimed, Description, NameValue, Outcome,
    SettingsProblem, Verdict, Verified,
};

/// Writes to the evaluation's log.
pub mod log {
    pub use crate::bindings::countersign::policy::log::{Level, write};

    /// Logs at level `info`.
    pub fn info(message: &str) {
        write(Level::Info, message);
    }

    /// Logs at level `warn`.
    pub fn warn(message: &str) {
        write(Level::Warn, message);
    }
}

/// A policy plugin. See `wit/1.0` for the meaning of each record.
pub trait Plugin {
    /// Says who the plugin is and which settings it takes.
    fn describe() -> Description;

    /// Checks settings before a binding is stored; names each bad field and the rule that it breaks.
    fn validate_settings(settings: &str) -> Result<(), Vec<SettingsProblem>>;

    /// Judges one transaction. An error is a failure: the gateway denies and shows its text to the
    /// operator.
    fn evaluate(verified: &Verified, claimed: &Claimed) -> Result<Outcome, String>;
}

/// Joins a [`Plugin`] to the generated exports.
#[doc(hidden)]
pub struct Export<P>(std::marker::PhantomData<P>);

impl<P: Plugin> bindings::exports::countersign::policy::policy::Guest for Export<P> {
    fn describe() -> Description {
        log_panics();
        P::describe()
    }

    fn validate_settings(settings: String) -> Result<(), Vec<SettingsProblem>> {
        log_panics();
        P::validate_settings(&settings)
    }

    fn evaluate(verified: Verified, claimed: Claimed) -> Result<Outcome, String> {
        log_panics();
        P::evaluate(&verified, &claimed)
    }
}

fn log_panics() {
    #[cfg(target_family = "wasm")]
    panic::log_panics();
}

/// Exports a [`Plugin`] as the component's `policy` interface. Use it once in a crate.
#[macro_export]
macro_rules! plugin {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        mod countersign_export {
            #[allow(unused_imports, reason = "the type may be named by a path of its own")]
            use super::*;

            type Export = $crate::Export<$plugin>;
            $crate::bindings::export_plugin!(Export with_types_in $crate::bindings);
        }

        // Native builds, for unit tests, export nothing but check the implementation all the same.
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> $crate::Description = <$plugin as $crate::Plugin>::describe;
    };
}
