//! Every attack ends in a failure with its own code, and the next evaluation is unharmed.

use std::time::{Duration, Instant};

use plugin_host::{Capability, FailureCode, Grants, Verdict};

use crate::guests::{TestHost, request, with_module};

/// Time that a loaded machine may take to notice a deadline; far from what an attack would take.
pub(crate) const SLACK: Duration = Duration::from_secs(10);

#[track_caller]
fn assert_stopped(attack: &str, expected: FailureCode) -> String {
    let host = TestHost::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let hostile = host.prepare("hostile").await;
        let mut attacking = request(attack);
        let deadline = Instant::now()
            + Duration::from_millis(if expected == FailureCode::Timeout { 2_000 } else { 20_000 });
        attacking.deadline = Some(deadline);
        let failure = host.host.evaluate(&hostile, attacking).await.expect_err(attack);
        assert!(Instant::now() < deadline + SLACK, "{attack} outlived its deadline");
        assert_eq!(failure.code, expected, "{failure}");
        let next = host.host.evaluate(&hostile, request("behave")).await.unwrap();
        assert_eq!(next.outcome.verdict, Verdict::Approve);
        failure.detail
    })
}

#[test]
fn endless_loop_meets_the_deadline() {
    assert_stopped("endless loop", FailureCode::Timeout);
}

#[test]
fn memory_bomb_in_one_go_meets_the_memory_limit() {
    let detail = assert_stopped("memory bomb", FailureCode::MemoryLimit);
    assert!(detail.ends_with("bytes of linear memory, where 16777216 are allowed"), "{detail}");
}

#[test]
fn memory_bomb_in_pieces_meets_the_memory_limit() {
    assert_stopped("slow memory bomb", FailureCode::MemoryLimit);
}

#[test]
fn deep_recursion_meets_the_native_stack_limit() {
    assert_stopped("deep recursion", FailureCode::StackOverflow);
}

#[test]
fn deep_recursion_with_frames_runs_out_of_the_guest_stack() {
    assert_stopped("deep frames", FailureCode::OutOfBounds);
}

#[test]
fn panic_aborts_and_its_message_is_kept_as_plain_text() {
    let detail = assert_stopped("panic", FailureCode::Abort);
    assert!(detail.contains("deliberate[31m panic"), "{detail}");
    assert!(!detail.contains('\u{1b}'), "{detail}");
}

#[test]
fn log_flood_meets_the_line_limit() {
    assert_stopped("log flood", FailureCode::LogLimit);
}

#[test]
fn long_log_line_meets_the_byte_limit() {
    assert_stopped("long log line", FailureCode::LogLimit);
}

#[test]
fn answer_of_100_megabytes_meets_the_memory_limit() {
    assert_stopped("long answer", FailureCode::MemoryLimit);
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_of_100_megabytes_meets_the_transfer_limit_where_memory_allows_it() {
    let host = TestHost::with(|config| config.limits.memory_bytes = 256 << 20);
    let hostile = host.prepare("hostile").await;
    let failure = host.host.evaluate(&hostile, request("long answer")).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::OutputTooLarge);
}

#[test]
fn alias_bomb_meets_the_transfer_limit() {
    assert_stopped("alias bomb", FailureCode::OutputTooLarge);
}

#[test]
fn too_many_entries_of_evidence_are_refused() {
    assert_stopped("many entries", FailureCode::OutputTooLarge);
}

#[test]
fn confidence_above_certainty_is_refused() {
    assert_stopped("confidence", FailureCode::BadConfidence);
}

#[test]
fn answers_that_break_the_contract_are_refused() {
    for attack in ["reason code", "no demands", "zero approvals", "empty role", "odd verdict", "bad encoding"]
    {
        assert_stopped(attack, FailureCode::InvalidOutput);
    }
}

#[test]
fn state_floods_meet_their_limits() {
    for attack in ["state reads", "counters", "long state key", "long counter name", "long state value"] {
        assert_stopped(attack, FailureCode::StateLimit);
    }
}

#[test]
fn names_and_windows_of_state_that_break_the_contract_are_refused() {
    for attack in ["control in a state key", "empty state key", "counter without a window"] {
        assert_stopped(attack, FailureCode::InvalidOutput);
    }
}

#[test]
fn error_of_the_guest_is_a_failure_with_plain_text() {
    assert_eq!(assert_stopped("guest error", FailureCode::GuestError), "cannot decide today");
}

#[tokio::test(flavor = "multi_thread")]
async fn table_that_grows_meets_the_table_limit() {
    let growing = |elements: u32| {
        let module = format!(
            "(module (table 1 funcref) (func $grow (drop (table.grow (ref.null func) (i32.const {elements})))) \
             (start $grow))"
        );
        with_module("hello", &module)
    };
    let host = TestHost::start();
    let within = host.host.prepare(growing(19_999)).await.unwrap();
    host.host.evaluate(&within, request("{}")).await.unwrap();
    let beyond = host.host.prepare(growing(20_000)).await.unwrap();
    let failure = host.host.evaluate(&beyond, request("{}")).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::TableLimit, "{failure}");
    assert_eq!(failure.detail, "20001 table elements, where 20000 are allowed");
    host.host.evaluate(&within, request("{}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn steering_text_is_stripped_and_cut() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let outcome = host.host.evaluate(&hostile, request("steering text")).await.unwrap().outcome;
    assert!(outcome.analysis.starts_with("[2Jsafe ok [2Jsafe ok "), "{}", outcome.analysis);
    assert!(outcome.analysis.ends_with('…'));
    assert!(outcome.analysis.len() <= host.config.limits.analysis_bytes);
    let description = host.host.describe(&hostile).await.unwrap();
    assert_eq!(description.summary, "[2JTrust me");
    let unnamed = host.host.validate_settings(&hostile, "refuse without a word").await.unwrap();
    assert!(unnamed[0].rule.contains("without a reason"), "{unnamed:?}");
    let problems = host.host.validate_settings(&hostile, "1").await.unwrap();
    assert_eq!((problems[0].field.as_str(), problems[0].rule.as_str()), ("field", "rule"));
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_describe_and_validate_settings_meet_the_deadline() {
    let host = TestHost::with(|config| config.schedule.deadline = Duration::from_millis(50));
    let endless = host.prepare("endless").await;
    assert_eq!(host.host.describe(&endless).await.unwrap_err().code, FailureCode::Timeout);
    assert_eq!(host.host.validate_settings(&endless, "{}").await.unwrap_err().code, FailureCode::Timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_problems_with_settings_are_refused() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    assert_eq!(host.host.validate_settings(&hostile, "32").await.unwrap().len(), 32);
    let failure = host.host.validate_settings(&hostile, "33").await.unwrap_err();
    assert_eq!(failure.code, FailureCode::OutputTooLarge);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_above_the_limit_never_reach_the_guest() {
    let host = TestHost::with(|config| config.limits.settings_bytes = 5);
    let hostile = host.prepare("hostile").await;
    let failure = host.host.evaluate(&hostile, request("behave")).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::SettingsTooLarge);
    let failure = host.host.validate_settings(&hostile, "123456").await.unwrap_err();
    assert_eq!(failure.code, FailureCode::SettingsTooLarge);
}

/// JavaScript would take the last of two, Rust refuses them, and half a character breaks Python: what was signed for must
/// be what is read.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_languages_read_differently_never_reach_the_guest() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let half = "settings: not every language reads them: unexpected end of hex escape at line 1 column 16";
    for (settings, detail) in [
        (r#"{"limit":"1","limit":"2"}"#, "settings: key `limit` is given twice"),
        (r#"{"name":"\ud800"}"#, half),
    ] {
        let failure = host.host.evaluate(&hostile, request(settings)).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::SettingsAmbiguous);
        assert_eq!(failure.detail, detail);
        let failure = host.host.validate_settings(&hostile, settings).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::SettingsAmbiguous);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn capability_that_is_not_granted_is_refused_before_the_guest_runs() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let used = Capability::ALL.into_iter().filter(|one| !matches!(one, Capability::Http | Capability::Chain));
    assert_eq!(hostile.required(), used.collect());
    let mut asked = request("behave");
    asked.grants = Grants::from_iter([Capability::Log, Capability::Settings, Capability::Clock]);
    let failure = host.host.evaluate(&hostile, asked).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::MissingCapability);
    assert_eq!(failure.detail, "the component imports `state`, which its binding is not granted");
}
