//! Queues, threads and deadlines. Counts are asserted, never how fast a machine is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use plugin_host::{
    Counted, CounterName, EvaluationRequest, FailureCode, PluginHost, PreparedPlugin, StatePort,
    StatePortError, Verdict,
};
use tokio::task::JoinSet;

use crate::guests::{TestHost, request};

/// State that holds every reader until the gate is opened (its sender dropped), counting them.
struct Gate {
    opened: std::sync::Mutex<mpsc::Receiver<()>>,
    entered: tokio::sync::mpsc::UnboundedSender<()>,
}

impl StatePort for Gate {
    fn read(&self, _key: &str, _deadline: Instant) -> Result<Option<Vec<u8>>, StatePortError> {
        // The test may have ended; then nobody counts.
        let _ = self.entered.send(());
        let _ = self.opened.lock().unwrap().recv();
        Ok(None)
    }

    fn counted(&self, _counter: &CounterName, _deadline: Instant) -> Result<Counted, StatePortError> {
        Ok(Counted::default())
    }
}

fn gate() -> (Arc<Gate>, tokio::sync::mpsc::UnboundedReceiver<()>, mpsc::Sender<()>) {
    let (open, opened) = mpsc::channel();
    let (entered, arrivals) = tokio::sync::mpsc::unbounded_channel();
    (Arc::new(Gate { opened: opened.into(), entered }), arrivals, open)
}

fn held(gate: &Arc<Gate>) -> EvaluationRequest {
    let state: Arc<dyn StatePort> = Arc::clone(gate) as _;
    EvaluationRequest { state, ..request("count") }
}

async fn code_of(
    host: PluginHost,
    plugin: Arc<PreparedPlugin>,
    request: EvaluationRequest,
) -> Option<FailureCode> {
    host.evaluate(&plugin, request).await.err().map(|failure| failure.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn thousand_evaluations_at_once_all_answer() {
    let host = TestHost::start();
    let hello = host.prepare("hello").await;
    let mut evaluations = JoinSet::new();
    for number in 0..1000 {
        let (host, hello) = (host.host.clone(), Arc::clone(&hello));
        let mut asked = request("{}");
        asked.verified.transaction_id = number.to_string();
        evaluations.spawn(async move { (number, host.evaluate(&hello, asked).await.unwrap()) });
    }
    let mut answered = 0;
    while let Some(done) = evaluations.join_next().await {
        let (number, evaluation) = done.unwrap();
        assert_eq!(evaluation.outcome.verdict, Verdict::Abstain);
        assert_eq!(evaluation.outcome.analysis, format!("Hello, transaction {number}."));
        answered += 1;
    }
    assert_eq!(answered, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_queue_refuses_its_own_plugin_at_once_and_no_other() {
    let host = TestHost::with(|config| {
        config.schedule.running_per_plugin = 1;
        config.schedule.waiting_per_plugin = 2;
    });
    let (hostile, hello) = (host.prepare("hostile").await, host.prepare("hello").await);
    let (gate, mut arrivals, open) = gate();
    let mut waiting = JoinSet::new();
    waiting.spawn(code_of(host.host.clone(), Arc::clone(&hostile), held(&gate)));
    arrivals.recv().await.unwrap();
    for _ in 0..3 {
        waiting.spawn(code_of(host.host.clone(), Arc::clone(&hostile), held(&gate)));
    }
    // One runs, two wait, so exactly one of the three is refused, and first.
    assert_eq!(waiting.join_next().await.unwrap().unwrap(), Some(FailureCode::QueueFull));
    assert_eq!(code_of(host.host.clone(), hello, request("{}")).await, None);
    drop(open);
    assert_eq!(waiting.join_all().await, [None, None, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn plugin_that_hogs_its_threads_leaves_some_to_others() {
    let host = TestHost::with(|config| {
        config.schedule.threads = 4;
        config.schedule.running_per_plugin = 2;
    });
    let (hostile, hello) = (host.prepare("hostile").await, host.prepare("hello").await);
    let finished = Arc::new(AtomicUsize::new(0));
    let mut loops = JoinSet::new();
    for _ in 0..10 {
        let (host, hostile, finished) = (host.host.clone(), Arc::clone(&hostile), Arc::clone(&finished));
        loops.spawn(async move {
            let code = code_of(host, hostile, request("endless loop")).await;
            finished.fetch_add(1, Ordering::SeqCst);
            code
        });
    }
    for _ in 0..100 {
        assert_eq!(code_of(host.host.clone(), Arc::clone(&hello), request("{}")).await, None);
    }
    // All hundred were served while the loops held their threads: none had reached its deadline.
    assert_eq!(finished.load(Ordering::SeqCst), 0);
    loops.abort_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_thousand_endless_evaluations_at_once_each_ends_and_others_are_served_meanwhile() {
    let host = TestHost::with(|config| {
        config.schedule.threads = 4;
        config.schedule.running_per_plugin = 2;
        config.schedule.waiting_per_plugin = 500;
        config.schedule.breaker_failures = u32::MAX;
    });
    let (hostile, hello) = (host.prepare("hostile").await, host.prepare("hello").await);
    let mut endless = JoinSet::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    for _ in 0..1000 {
        let asked = EvaluationRequest { deadline: Some(deadline), ..request("endless loop") };
        endless.spawn(code_of(host.host.clone(), Arc::clone(&hostile), asked));
    }
    for _ in 0..100 {
        assert_eq!(code_of(host.host.clone(), Arc::clone(&hello), request("{}")).await, None);
    }
    let ended = endless.join_all().await;
    let count = |code| ended.iter().filter(|ended| **ended == Some(code)).count();
    // Refused at once, or not begun before the deadline: nobody asked the plugin.
    let (late, unasked) = (count(FailureCode::Timeout), count(FailureCode::QueueFull));
    assert_eq!(late + unasked, 1000, "{ended:?}");
    assert!(late >= 2 && unasked > 0, "{late} were late, {unasked} not asked");
    for (plugin, settings) in [(hello, "{}"), (hostile, "behave")] {
        assert_eq!(code_of(host.host.clone(), plugin, request(settings)).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_for_longer_than_a_slice_leaves_the_only_thread_to_others() {
    let host = TestHost::with(|config| {
        config.schedule.threads = 1;
        config.schedule.slice = Duration::from_millis(1);
        config.schedule.deadline = Duration::from_secs(10);
    });
    let (hostile, hello) = (host.prepare("hostile").await, host.prepare("hello").await);
    // The second is known to be long before it begins.
    for _ in 0..2 {
        let endless = tokio::spawn(code_of(host.host.clone(), Arc::clone(&hostile), request("endless loop")));
        for _ in 0..100 {
            assert_eq!(code_of(host.host.clone(), Arc::clone(&hello), request("{}")).await, None);
        }
        assert!(!endless.is_finished());
        assert_eq!(endless.await.unwrap(), Some(FailureCode::Timeout));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_long_evaluations_as_allowed_run_beside_the_threads() {
    let host = TestHost::with(|config| {
        config.schedule.threads = 1;
        config.schedule.background_threads = 1;
        config.schedule.running_per_plugin = 2;
        config.schedule.slice = Duration::from_millis(1);
        config.schedule.deadline = Duration::from_secs(10);
    });
    let (hostile, hello) = (host.prepare("hostile").await, host.prepare("hello").await);
    let mut endless = JoinSet::new();
    for _ in 0..2 {
        endless.spawn(code_of(host.host.clone(), Arc::clone(&hostile), request("endless loop")));
    }
    // The second finds no place beside the thread and holds it: others are answered until then, and from then on are not.
    let late = loop {
        let asked =
            EvaluationRequest { deadline: Some(Instant::now() + Duration::from_secs(2)), ..request("{}") };
        if let Some(code) = code_of(host.host.clone(), Arc::clone(&hello), asked).await {
            break code;
        }
        assert!(endless.try_join_next().is_none(), "a second long evaluation held up nobody");
    };
    assert_eq!(late, FailureCode::QueueFull, "its turn did not come");
    assert_eq!(endless.join_all().await, [Some(FailureCode::Timeout); 2]);
    assert_eq!(code_of(host.host.clone(), hello, request("{}")).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn deadline_includes_the_time_in_the_queue() {
    let host = TestHost::with(|config| config.schedule.running_per_plugin = 1);
    let hostile = host.prepare("hostile").await;
    let (gate, mut arrivals, open) = gate();
    let holding = tokio::spawn(code_of(host.host.clone(), Arc::clone(&hostile), held(&gate)));
    arrivals.recv().await.unwrap();
    let mut asked = request("behave");
    asked.deadline = Some(Instant::now() + Duration::from_millis(20));
    let failure = host.host.evaluate(&hostile, asked).await.unwrap_err();
    // It was not asked, and has said nothing.
    assert_eq!(failure.code, FailureCode::QueueFull);
    assert_eq!(failure.detail, "the plugin's turn did not come before the deadline");
    assert!(!holding.is_finished());
    drop(open);
    assert_eq!(holding.await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_run_is_counted_from_its_turn() {
    let run_max = Duration::from_millis(250);
    let host = TestHost::with(|config| {
        config.schedule.threads = 1;
        config.schedule.run_max = Some(run_max);
    });
    let hostile = host.prepare("hostile").await;
    let (gate, mut arrivals, open) = gate();
    let holding = tokio::spawn(code_of(host.host.clone(), Arc::clone(&hostile), held(&gate)));
    arrivals.recv().await.unwrap();
    let asked = Instant::now();
    let waiting = tokio::spawn(code_of(host.host.clone(), Arc::clone(&hostile), request("endless loop")));
    while asked.elapsed() < 2 * run_max {
        tokio::task::yield_now().await;
    }
    drop(open);
    // Also the one that had nothing more to do than to answer, if it was not stopped before.
    assert_eq!(holding.await.unwrap(), Some(FailureCode::Timeout));
    assert_eq!(waiting.await.unwrap(), Some(FailureCode::Timeout));
    // No turn leaves room for more than there is in all.
    let host = TestHost::with(|config| config.schedule.run_max = Some(Duration::from_hours(1)));
    let hello = host.prepare("hello").await;
    assert_eq!(code_of(host.host.clone(), hello, request("{}")).await, Some(FailureCode::QueueFull));
}

/// Whoever waits for answers of the host takes no processor, and holds a thread all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_waits_outside_for_long_leaves_the_threads_to_others() {
    let host = TestHost::with(|config| {
        config.schedule.threads = 2;
        config.schedule.running_per_plugin = 2;
        config.schedule.background_threads = 1;
        config.schedule.slice = Duration::from_nanos(1);
    });
    let (hostile, hello) = (host.prepare("hostile").await, host.prepare("hello").await);
    let (first, mut arrivals, open) = gate();
    let known = tokio::spawn(code_of(host.host.clone(), Arc::clone(&hostile), held(&first)));
    arrivals.recv().await.unwrap();
    drop(open);
    assert_eq!(known.await.unwrap(), None);

    let (second, mut arrivals, open) = gate();
    let hold = || tokio::spawn(code_of(host.host.clone(), Arc::clone(&hostile), held(&second)));
    let holding = [hold(), hold(), hold()];
    arrivals.recv().await.unwrap();
    for _ in 0..4 {
        assert_eq!(code_of(host.host.clone(), Arc::clone(&hello), request("{}")).await, None);
    }
    assert!(holding.iter().all(|held| !held.is_finished()));
    drop(open);
    for held in holding {
        assert_eq!(held.await.unwrap(), None);
    }
}

/// A shadow that hangs holds up neither what is decided nor what is tried out.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_shadow_waits_for_nobody_else_waits_for() {
    let host = TestHost::with(|config| {
        config.schedule.threads = 1;
        config.schedule.aside_threads = 1;
    });
    let hostile = host.prepare("hostile").await;
    let (gate, mut arrivals, open) = gate();
    let shadowing = {
        let (host, hostile, asked) = (host.host.clone(), Arc::clone(&hostile), held(&gate));
        tokio::spawn(async move { host.shadow(&hostile, asked).await.map(|done| done.outcome.verdict) })
    };
    arrivals.recv().await.unwrap();
    assert_eq!(code_of(host.host.clone(), Arc::clone(&hostile), request("behave")).await, None);
    host.host.try_out(&hostile, request("behave")).await.unwrap();
    assert!(!shadowing.is_finished());
    drop(open);
    shadowing.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn host_call_that_blocks_does_not_delay_the_answer() {
    let host = TestHost::start();
    let hostile = host.prepare("hostile").await;
    let (gate, mut arrivals, open) = gate();
    let mut asked = held(&gate);
    asked.deadline = Some(Instant::now() + Duration::from_secs(2));
    let failure = host.host.evaluate(&hostile, asked).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::Timeout);
    assert_eq!(failure.detail, "no answer at the deadline");
    arrivals.recv().await.unwrap();
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn call_that_nobody_waits_for_is_not_run() {
    let host = TestHost::with(|config| config.schedule.running_per_plugin = 1);
    let hostile = host.prepare("hostile").await;
    let (first, mut first_arrivals, open_first) = gate();
    let holding = tokio::spawn(code_of(host.host.clone(), Arc::clone(&hostile), held(&first)));
    first_arrivals.recv().await.unwrap();

    let (second, mut second_arrivals, open_second) = gate();
    let abandoned = host.host.evaluate(&hostile, held(&second));
    assert!(tokio::time::timeout(Duration::ZERO, abandoned).await.is_err());
    drop((second, open_second, open_first));
    assert_eq!(holding.await.unwrap(), None);
    // The abandoned call's turn has passed without a read: its sender is gone.
    assert_eq!(second_arrivals.recv().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn host_that_shuts_down_fails_what_waits_and_finishes_what_runs() {
    let host = TestHost::with(|config| config.schedule.running_per_plugin = 1);
    let hostile = host.prepare("hostile").await;
    let (gate, mut arrivals, open) = gate();
    let running = tokio::spawn(code_of(host.host.clone(), Arc::clone(&hostile), held(&gate)));
    arrivals.recv().await.unwrap();
    let waiting = host.host.evaluate(&hostile, request("behave"));
    let (waited, ()) = tokio::join!(waiting, async { host.host.shut_down() });
    assert_eq!(waited.unwrap_err().code, FailureCode::ShuttingDown);
    let late = host.host.evaluate(&hostile, request("behave")).await;
    assert_eq!(late.unwrap_err().code, FailureCode::ShuttingDown);
    drop(open);
    assert_eq!(running.await.unwrap(), None);
}

/// One thread each, and each is held: neither waits for the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_out_and_what_is_evaluated_do_not_wait_for_each_other() {
    let host = TestHost::with(|config| {
        config.schedule.threads = 1;
        config.schedule.aside_threads = 1;
    });
    let (hostile, hello) = (host.prepare("hostile").await, host.prepare("hello").await);
    let (aside, mut arrivals, open) = gate();
    let trying = {
        let (host, hostile, asked) = (host.host.clone(), Arc::clone(&hostile), held(&aside));
        tokio::spawn(async move { host.try_out(&hostile, asked).await.map(|done| done.outcome.verdict) })
    };
    arrivals.recv().await.unwrap();
    for plugin in [&hello, &hostile] {
        let settings = if Arc::ptr_eq(plugin, &hello) { "{}" } else { "behave" };
        assert_eq!(code_of(host.host.clone(), Arc::clone(plugin), request(settings)).await, None);
    }
    assert!(!trying.is_finished());
    drop(open);
    trying.await.unwrap().unwrap();

    let (evaluated, mut arrivals, open) = gate();
    let holding = tokio::spawn(code_of(host.host.clone(), Arc::clone(&hostile), held(&evaluated)));
    arrivals.recv().await.unwrap();
    host.host.try_out(&hello, request("{}")).await.unwrap();
    host.host.validate_settings(&hello, "{}").await.unwrap();
    assert!(!holding.is_finished());
    drop(open);
    assert_eq!(holding.await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_much_waits_to_be_tried_out_and_no_more() {
    let host = TestHost::with(|config| {
        config.schedule.aside_threads = 1;
        config.schedule.aside_waiting = 2;
    });
    let hostile = host.prepare("hostile").await;
    let (gate, mut arrivals, open) = gate();
    let try_out = |gate: &Arc<Gate>| {
        let (host, hostile, asked) = (host.host.clone(), Arc::clone(&hostile), held(gate));
        async move { host.try_out(&hostile, asked).await.err().map(|failure| failure.code) }
    };
    let mut waiting = JoinSet::new();
    waiting.spawn(try_out(&gate));
    arrivals.recv().await.unwrap();
    for _ in 0..3 {
        waiting.spawn(try_out(&gate));
    }
    // One runs, two wait, so exactly one of the three is refused, and first.
    assert_eq!(waiting.join_next().await.unwrap().unwrap(), Some(FailureCode::QueueFull));
    drop(open);
    assert_eq!(waiting.join_all().await, [None, None, None]);
}

/// Many slow dry runs of one tenant neither keep another's out nor go before it.
#[tokio::test(flavor = "multi_thread")]
async fn one_organization_fills_its_own_part_of_what_waits_to_be_tried_out() {
    let host = TestHost::with(|config| {
        config.schedule.aside_threads = 1;
        config.schedule.aside_waiting = 16;
        config.schedule.aside_waiting_per_organization = 2;
    });
    let hostile = host.prepare("hostile").await;
    let (gate, mut arrivals, open) = gate();
    let try_out = |organization: &str, mut asked: EvaluationRequest| {
        asked.verified.organization_id = organization.to_owned();
        let (host, hostile) = (host.host.clone(), Arc::clone(&hostile));
        async move { host.try_out(&hostile, asked).await.err().map(|failure| failure.code) }
    };
    let mut waiting = JoinSet::new();
    waiting.spawn(try_out("many", held(&gate)));
    arrivals.recv().await.unwrap();
    for _ in 0..3 {
        waiting.spawn(try_out("many", held(&gate)));
    }
    assert_eq!(waiting.join_next().await.unwrap().unwrap(), Some(FailureCode::QueueFull));
    let other = tokio::spawn(try_out("other", request("behave")));
    let asked = host.host.validate_settings_for("third", &hostile, "2");
    drop(open);
    assert_eq!((other.await.unwrap(), asked.await.unwrap().len()), (None, 2));
    assert_eq!(waiting.join_all().await, [None, None, None]);
}

/// Whoever tries things out takes no plugin out of service, and learns that one rests.
#[tokio::test(flavor = "multi_thread")]
async fn stops_of_what_is_tried_out_open_no_breaker() {
    let host = TestHost::with(|config| config.schedule.breaker_failures = 2);
    let hostile = host.prepare("hostile").await;
    for _ in 0..5 {
        let failure = host.host.try_out(&hostile, request("panic")).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::Abort);
    }
    for expected in [FailureCode::Abort, FailureCode::Abort, FailureCode::BreakerOpen] {
        let code = code_of(host.host.clone(), Arc::clone(&hostile), request("panic")).await;
        assert_eq!(code, Some(expected));
    }
    let failure = host.host.try_out(&hostile, request("panic")).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::BreakerOpen);
}
