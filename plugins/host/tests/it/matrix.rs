//! Attacks that no toolchain makes, by hand in WAT: each ends in a failure with its own code, and the honest plugin beside
//! it is unharmed. `README.md` has the whole matrix.

use std::time::{Duration, Instant};

use plugin_host::{ComponentSource, FailureCode, Verdict};

use crate::guests::{TestHost, request, with_module};
use crate::hostile::SLACK;
use crate::patched::{contract_export, with_body, with_body_that_calls_the_host};

/// What an endless attack is given: its turn comes within it on a busy machine, too.
const PATIENCE: Duration = Duration::from_secs(2);

async fn assert_stopped(attack: ComponentSource, expected: FailureCode) -> String {
    let host = TestHost::start();
    let honest = host.prepare("hello").await;
    let hostile = host.host.prepare(attack).await.unwrap();
    // A number, which `limiter` needs and `hello` does not look at.
    let mut asked = request("10");
    let deadline = Instant::now() + PATIENCE;
    if expected == FailureCode::Timeout {
        asked.deadline = Some(deadline);
    }
    let failure = host.host.evaluate(&hostile, asked).await.unwrap_err();
    assert_eq!(failure.code, expected, "{failure}");
    assert!(
        expected != FailureCode::Timeout || Instant::now() < deadline + SLACK,
        "it outlived its deadline"
    );
    let next = host.host.evaluate(&honest, request("{}")).await.unwrap();
    assert_eq!(next.outcome.verdict, Verdict::Abstain);
    failure.detail
}

/// An answer of `evaluate` made by hand: the function writes it and returns where it is.
fn answering(stores: &str, pointer: &str) -> ComponentSource {
    let function = format!("(func (param i32) (result i32) {stores} {pointer})");
    with_body(&contract_export("#evaluate"), &function)
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_start_function_meets_the_deadline() {
    let attack = with_module("hello", "(module (func $spin (loop (br 0))) (start $spin))");
    assert_stopped(attack, FailureCode::Timeout).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_allocator_meets_the_deadline() {
    let spin = "(func (param i32 i32 i32 i32) (result i32) (loop (br 0)) unreachable)";
    assert_stopped(with_body("cabi_realloc", spin), FailureCode::Timeout).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn allocator_that_points_outside_of_memory_or_between_words_is_refused() {
    for pointer in ["i32.const -16", "i32.const 0x7ffffff0", "i32.const 3"] {
        let function = format!("(func (param i32 i32 i32 i32) (result i32) {pointer})");
        assert_stopped(with_body("cabi_realloc", &function), FailureCode::InvalidOutput).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_work_after_the_answer_meets_the_deadline() {
    let export = format!("cabi_post_{}", contract_export("#evaluate"));
    let attack = with_body(&export, "(func (param i32) (loop (br 0)))");
    assert_stopped(attack, FailureCode::Timeout).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_outside_of_memory_or_between_words_is_refused() {
    for pointer in ["i32.const -16", "i32.const 0x7ffffff0", "i32.const 65537"] {
        assert_stopped(answering("", pointer), FailureCode::InvalidOutput).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_that_the_contract_does_not_have_is_refused() {
    let attack = answering("(i32.store (i32.const 65536) (i32.const 7))", "i32.const 65536");
    assert_stopped(attack, FailureCode::InvalidOutput).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_four_gigabytes_is_refused() {
    // The error case: a string that begins in memory and is as long as a number can say.
    let stores = "(i32.store (i32.const 65536) (i32.const 1)) (i32.store offset=4 (i32.const 65536) (i32.const 16)) \
                  (i32.store offset=8 (i32.const 65536) (i32.const -1))";
    assert_stopped(answering(stores, "i32.const 65536"), FailureCode::InvalidOutput).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lone_surrogates_are_refused() {
    let stores = "(i32.store (i32.const 65536) (i32.const 1)) (i32.store offset=4 (i32.const 65536) (i32.const 65552)) \
                  (i32.store offset=8 (i32.const 65536) (i32.const 3)) (i32.store (i32.const 65552) (i32.const 0x80a0ed))";
    let detail = assert_stopped(answering(stores, "i32.const 65536"), FailureCode::InvalidOutput).await;
    assert!(detail.contains("utf-8"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_steps_in_a_loop_meet_the_deadline() {
    // All the memory and all the table there may be, and nobody looks at the time within a step.
    for step in [
        "(memory.fill (i32.const 0) (i32.const 7) (i32.const 14680064))",
        "(memory.copy (i32.const 1) (i32.const 0) (i32.const 14680063))",
        "(memory.init $data (i32.const 0) (i32.const 0) (i32.const 65536))",
        "(table.fill (i32.const 0) (ref.null func) (i32.const 20000))",
        "(table.copy (i32.const 1) (i32.const 0) (i32.const 19999))",
    ] {
        let data = "x".repeat(65_536);
        let module = format!(
            "(module (memory 224) (table 20000 funcref) (data $data \"{data}\") \
             (func $run (loop {step} (br 0))) (start $run))"
        );
        assert_stopped(with_module("hello", &module), FailureCode::Timeout).await;
    }
}

/// While the host writes into a guest, and while the guest tidies up after its answer, it cannot call out: no host
/// function ever runs on top of one that has not returned.
#[tokio::test(flavor = "multi_thread")]
async fn host_calls_from_the_allocator_or_after_the_answer_are_refused() {
    let allocator =
        "(func (param i32 i32 i32 i32) (result i32) (call $host (i32.const 65536)) i32.const 131072)";
    let detail =
        assert_stopped(with_body_that_calls_the_host("cabi_realloc", allocator), FailureCode::Trap).await;
    assert!(detail.contains("cannot leave component instance"), "{detail}");
    let export = format!("cabi_post_{}", contract_export("#evaluate"));
    let afterwards = "(func (param i32) (call $host (i32.const 65536)))";
    let detail = assert_stopped(with_body_that_calls_the_host(&export, afterwards), FailureCode::Trap).await;
    assert!(detail.contains("cannot leave component instance"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_of_each_kind_has_its_code() {
    let cases = [
        ("unreachable", FailureCode::Abort),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", FailureCode::Trap),
        ("(drop (i32.trunc_f64_u (f64.const nan)))", FailureCode::Trap),
        ("(drop (i32.load (i32.const -1)))", FailureCode::OutOfBounds),
        ("(call $run)", FailureCode::StackOverflow),
    ];
    for (attack, expected) in cases {
        let module = format!("(module (memory 1) (func $run {attack}) (start $run))");
        assert_stopped(with_module("hello", &module), expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_on_shared_memory_cannot_be_compiled() {
    let wait = "(module (memory 1 1 shared) (func $wait (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) \
                (i64.const -1)))) (start $wait))";
    let host = TestHost::start();
    let failure = host.host.prepare(with_module("hello", wait)).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::CompileFailed, "{failure}");
    let honest = host.prepare("hello").await;
    host.host.evaluate(&honest, request("{}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn plugin_that_is_stopped_time_after_time_rests_and_fails_closed() {
    let host = TestHost::with(|config| config.schedule.breaker_failures = 3);
    let hostile = host.prepare("hostile").await;
    for _ in 0..3 {
        let failure = host.host.evaluate(&hostile, request("panic")).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::Abort);
    }
    let failure = host.host.evaluate(&hostile, request("panic")).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::BreakerOpen);
    assert!(failure.detail.contains("`abort`") && failure.record.is_none(), "{failure}");
    // Under other settings it is another plugin, and what was recorded can still be repeated.
    let behaved = host.host.evaluate(&hostile, request("behave")).await.unwrap();
    host.host.repeat(&hostile, &behaved.record).await.unwrap();
}
