//! Fuzz targets: uploads, settings, the bytes that a guest answers with, and those that it hands to the host. Every run
//! feeds the whole stored corpus as it is, and then mutations of it for a bounded time. `README.md` says how to have others
//! drawn and what to do with a failure.

mod corpus;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plugin_host::{FailureCode, PreparedPlugin, Settings, SettingsFault, Verdict};

use self::corpus::{Mutation, corpus, run};
use crate::guests::{TestHost, component, request, source};
use crate::patched::{callers_of_the_host, contract_export, with_bodies};

/// Guests that import every function of the contract between them.
const CALLERS: [&str; 3] = ["hostile", "http_review", "reader"];
/// Functions of contract 1.0 that a guest can call.
const FUNCTIONS: usize = 14;
/// As many words as any function of the host takes, with a list for one of them to point to.
const CALL_WORDS: usize = 40;
/// As many words as the longest answer that the contract knows has, and then some.
const ANSWER_WORDS: usize = 40;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

#[test]
fn mutated_uploads_are_refused_by_name_or_run_in_the_sandbox() {
    let host = TestHost::with(|config| {
        config.compile.cpu_seconds = 10;
        config.schedule.deadline = std::time::Duration::from_secs(20);
        config.schedule.breaker_failures = u32::MAX;
    });
    let runtime = runtime();
    let mut seeds = corpus("uploads");
    seeds.extend(["hello", "limiter", "endless"].map(|guest| component(guest).bytes.to_vec()));
    run("uploads", &seeds, Mutation::Of(&seeds), |bytes| {
        runtime.block_on(async {
            let code = match host.host.prepare(source(bytes)).await {
                Err(failure) => failure.code,
                Ok(plugin) => match host.host.evaluate(&plugin, request("{}")).await {
                    Ok(_) => return,
                    Err(failure) => failure.code,
                },
            };
            assert_ne!(code, FailureCode::HostError);
            assert_ne!(code, FailureCode::CacheUnavailable);
        });
    });
    runtime.block_on(async {
        let honest = host.prepare("hello").await;
        host.host.evaluate(&honest, request("{}")).await.unwrap();
    });
}

/// Accepts settings or says what is wrong with them; what it has accepted it can also be run with.
async fn takes_or_refuses(host: &TestHost, guest: &Arc<PreparedPlugin>, settings: &str) {
    let problems = host.host.validate_settings(guest, settings).await;
    if matches!(
        Settings::from(settings).fault(),
        Some(SettingsFault::KeyTwice(_) | SettingsFault::NotForAll(_))
    ) {
        // Refused before a guest sees them, and wherever they are given.
        assert_eq!(problems.unwrap_err().code, FailureCode::SettingsAmbiguous);
        let failure = host.host.evaluate(guest, request(settings)).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::SettingsAmbiguous);
    } else if problems.unwrap().is_empty() {
        let answer = host.host.evaluate(guest, request(settings)).await;
        let code = answer.err().map(|failure| failure.code);
        assert!(matches!(code, None | Some(FailureCode::GuestError | FailureCode::HttpRefused)), "{code:?}");
    }
}

fn settings_of(target: &str, guests: &[&str]) {
    let host = TestHost::with(|config| config.schedule.breaker_failures = u32::MAX);
    let runtime = runtime();
    let prepare = async |guest: &&str| host.prepare(guest).await;
    let guests: Vec<_> = guests.iter().map(|guest| runtime.block_on(prepare(guest))).collect();
    let seeds = corpus("settings");
    run(target, &seeds, Mutation::Of(&seeds), |bytes| {
        let settings = String::from_utf8_lossy(bytes);
        for guest in &guests {
            runtime.block_on(takes_or_refuses(&host, guest, &settings));
        }
    });
}

#[test]
fn mutated_settings_are_accepted_or_refused_and_break_no_guest_of_ours() {
    settings_of("settings", &["orion", "velocity", "http_review"]);
}

#[test]
fn mutated_settings_break_no_guest_that_brings_an_interpreter() {
    settings_of("settings", &["allowlist", "travel_rule_threshold"]);
}

/// Bytes of a request that the guest hands back as its answer: an outcome as far as the host knows.
#[test]
fn whatever_a_guest_answers_is_a_verdict_within_the_contract_or_a_failure() {
    let host = TestHost::with(|config| config.schedule.breaker_failures = u32::MAX);
    let runtime = runtime();
    // The transaction's data lies a hundred bytes into the arguments. It goes to a place that seeds can point into, behind
    // a word of text for them to point to, and that place is the answer.
    let echo = "(func (param i32) (result i32) \
                (i64.store (i32.const 65536) (i64.const 0x6f6c6c6568)) \
                (memory.copy (i32.const 65792) (i32.load offset=100 (local.get 0)) (i32.load offset=104 (local.get 0))) \
                (i32.const 65792))";
    let evaluate = contract_export("#evaluate");
    // What the guest never allocated it must not free.
    let bodies = [(&*evaluate, echo), (&*format!("cabi_post_{evaluate}"), "(func (param i32))")];
    let plugin = with_bodies(&bodies);
    let plugin = runtime.block_on(host.host.prepare(plugin)).unwrap();
    let seeds = corpus("answers");
    let endings = RefCell::new(BTreeSet::new());
    run("answers", &seeds, Mutation::OfWords(&seeds, ANSWER_WORDS), |bytes| {
        let mut asked = request("{}");
        asked.verified.data = bytes.to_vec();
        match runtime.block_on(host.host.evaluate(&plugin, asked)) {
            Ok(evaluation) => {
                let outcome = evaluation.outcome;
                endings.borrow_mut().insert(outcome.verdict.as_str().to_owned());
                assert!(outcome.confidence_ppm <= plugin_host::PARTS_PER_MILLION);
                assert!(!outcome.reason_code.is_empty());
                assert!(!matches!(&outcome.verdict, Verdict::NeedApprovals(needs) if needs.is_empty()));
            }
            Err(failure) => {
                let known = matches!(
                    failure.code,
                    FailureCode::InvalidOutput
                        | FailureCode::OutputTooLarge
                        | FailureCode::BadConfidence
                        | FailureCode::GuestError
                );
                assert!(known, "{failure}");
                endings.borrow_mut().insert(failure.code.as_str().to_owned());
            }
        }
    });
    // The corpus has one of each: what is lifted are the bytes that were meant.
    for verdict in ["approve", "reject", "abstain", "need_approvals", "other"] {
        assert!(endings.borrow().contains(verdict), "{verdict} is not among {endings:#?}");
    }
}

/// Every function of the host in turn, under arguments that no toolchain would pass.
#[test]
fn whatever_a_guest_hands_to_the_host_is_taken_or_refused_by_name() {
    let host = TestHost::with(|config| config.schedule.breaker_failures = u32::MAX);
    let runtime = runtime();
    let mut callers = BTreeMap::new();
    for (function, caller) in CALLERS.iter().flat_map(|guest| callers_of_the_host(guest)) {
        callers.entry(function).or_insert_with(|| runtime.block_on(host.host.prepare(caller)).unwrap());
    }
    let seeds = corpus("calls");
    let endings = RefCell::new(BTreeMap::<&str, BTreeSet<&str>>::new());
    run("calls", &seeds, Mutation::OfWords(&seeds, CALL_WORDS), |bytes| {
        for (function, caller) in &callers {
            let mut asked = request("{}");
            asked.verified.data = bytes.to_vec();
            let failure = runtime.block_on(host.host.evaluate(caller, asked)).unwrap_err();
            let is_known = matches!(
                failure.code,
                // The host has taken it, and the guest gives up.
                FailureCode::Abort
                    | FailureCode::InvalidOutput
                    | FailureCode::OutputTooLarge
                    | FailureCode::LogLimit
                    | FailureCode::StateLimit
                    | FailureCode::StateUnavailable
                    | FailureCode::CallLimit
                    | FailureCode::HistoryLimit
                    | FailureCode::HistoryUnavailable
                    | FailureCode::HttpRefused
                    | FailureCode::ChainRefused
                    | FailureCode::MissingCapability
                    | FailureCode::OutOfBounds
                    | FailureCode::Trap
            );
            assert!(is_known, "{function}: {failure}");
            endings.borrow_mut().entry(function).or_default().insert(failure.code.as_str());
        }
    });
    let endings = endings.into_inner();
    assert_eq!(endings.len(), FUNCTIONS, "{endings:#?}");
    // Each was given something that it took; what takes more than a place for its answer was given something bad, too.
    for (function, codes) in &endings {
        let taken = codes.iter().filter(|code| **code != "invalid_output").count();
        assert!(taken > 0, "{function}: {codes:?}");
        let is_plain = function.ends_with("#now-ms") || function.ends_with("#pinned");
        assert!(is_plain || codes.contains("invalid_output"), "{function}: {codes:?}");
    }
}
