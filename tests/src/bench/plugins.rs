//! One evaluation by the plugin host against the bare wasmtime call that it wraps, on one thread and on two.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use countersign_tests::environment;
use plugin_host::{
    CacheKey, Capability, Ceilings, ClaimedTransaction, CompileCommand, ComponentSource, Digest,
    EvaluationRequest, Grants, HostConfig, NoOutside, NoState, PluginHost, PreparedPlugin, Settings,
    VerifiedTransaction,
};
use tokio::task::JoinSet;

use crate::bare_wasm::BareWasm;
use crate::processor::Snapshot;
use crate::report::{Figure, Goal, Report, Section};
use crate::scale::Scale;
use crate::statistics::{median, micros_each};

pub(crate) const SETTINGS: &str = concat!(
    r#"{"valueLimit":"10000000000000000000","#,
    r#""denyList":["0x000000000000000000000000000000000000dead"],"#,
    r#""newRecipientValue":"5000000000000000000"}"#
);
/// Hashed once, as the gateway does.
static HASHED: LazyLock<Settings> = LazyLock::new(|| Settings::from(SETTINGS));
/// Evaluations under way for each thread of the host, as under load.
const WAITING_EACH: usize = 8;

/// Guests that bring an interpreter along, with their languages and settings under which they approve the request.
pub(crate) const SCRIPTS: [Script; 2] = [
    Script {
        component: "allowlist",
        language: "JavaScript",
        prefixes: ["plugin-javascript", "neighbours-javascript"],
        settings: r#"{"chains":{"eip155:31337":{"recipients":{"0x00000000000000000000000000000000000000bb":"Treasury"}}}}"#,
    },
    Script {
        component: "travel_rule_threshold",
        language: "Python",
        prefixes: ["plugin-python", "neighbours-python"],
        settings: r#"{"thresholds":[{"chain":"eip155:31337","asset":"native","decimals":18,"amount":"1"}],"requiredClaims":["description"],"approvals":{"arbiter":1}}"#,
    },
];

/// A guest in a language with an interpreter.
pub(crate) struct Script {
    pub(crate) component: &'static str,
    pub(crate) language: &'static str,
    /// Of its figures: alone, and beside others.
    pub(crate) prefixes: [&'static str; 2],
    pub(crate) settings: &'static str,
}

struct Sandbox {
    host: PluginHost,
    plugin: Arc<PreparedPlugin>,
    settings: Settings,
}

/// Microseconds per evaluation.
#[derive(Clone, Copy)]
struct Cost {
    /// In the sandbox, on its thread.
    sandbox: f64,
    /// From one answer to the next.
    answer: f64,
    /// Processor time of the host's threads, record and hand-over included.
    processor: f64,
}

pub(crate) async fn measure(directory: &Path, scale: &Scale, report: &Report) -> Result<()> {
    measure_orion(directory, scale, report).await?;
    for Script { component: name, language, prefixes: [prefix, _], settings } in SCRIPTS {
        let title = format!(
            "Plugin evaluation in {language} ({name}) in a fresh sandbox, against the same bare call"
        );
        let section = report.section(prefix, &title)?;
        let count = scale.evaluations / 20;
        let guest = Guest { component: component(name)?, settings: Settings::from(settings), count };
        print(&guest.rounds(&directory.join(name), scale).await?, &section)?;
    }
    Ok(())
}

async fn measure_orion(directory: &Path, scale: &Scale, report: &Report) -> Result<()> {
    let section = report.section(
        "plugin",
        "Plugin evaluation: Orion in a fresh sandbox, against bare InstancePre and typed call",
    )?;
    let guest = Guest { component: component("orion")?, settings: HASHED.clone(), count: scale.evaluations };
    print(&guest.rounds(&directory.join("orion"), scale).await?, &section)
}

/// A component as it is measured.
struct Guest {
    component: Vec<u8>,
    settings: Settings,
    /// Evaluations of one round.
    count: usize,
}

impl Guest {
    async fn rounds(&self, directory: &Path, scale: &Scale) -> Result<Vec<Round>> {
        let Self { component, settings, count } = self;
        let bare =
            BareWasm::new(component, settings.as_str(), &request().verified).map_err(wasmtime_failure)?;
        fs::create_dir_all(directory)?;
        let one = Sandbox::start(directory.join("one"), self, 1).await?;
        let two = Sandbox::start(directory.join("two"), self, 2).await?;
        let mut rounds = Vec::new();
        for _ in 0..scale.rounds {
            rounds.push(Round {
                bare: bare.round(1, *count).map_err(wasmtime_failure)?,
                alone: one.round(1, count / 3).await?,
                one: one.round(WAITING_EACH, *count).await?,
                bare_two: bare.round(2, *count).map_err(wasmtime_failure)?,
                two: two.round(2 * WAITING_EACH, 2 * count).await?,
            });
        }
        Ok(rounds)
    }
}

struct Round {
    bare: f64,
    alone: Cost,
    one: Cost,
    bare_two: f64,
    two: Cost,
}

fn print(rounds: &[Round], section: &Section) -> Result<()> {
    let middle = |pick: fn(&Round) -> f64| median(rounds.iter().map(pick));
    let bare = middle(|round| round.bare);
    let against_bare =
        |name: &str, value, ratio| Figure::new(name, value, "us").against_by_rounds(bare, ratio);
    section.figure(
        &against_bare(
            "one thread, busy: from answer to answer",
            middle(|round| round.one.answer),
            middle(|round| round.one.answer / round.bare),
        )
        .goal(Goal::AtMost(1.3)),
    )?;
    section.figure(&against_bare(
        "one thread, busy: in the sandbox",
        middle(|round| round.one.sandbox),
        middle(|round| round.one.sandbox / round.bare),
    ))?;
    section.figure(&against_bare(
        "one thread, busy: processor time, record and hand-over included",
        middle(|round| round.one.processor),
        middle(|round| round.one.processor / round.bare),
    ))?;
    section.figure(&against_bare(
        "nothing waiting: request to answer, two hand-overs",
        middle(|round| round.alone.answer),
        middle(|round| round.alone.answer / round.bare),
    ))?;
    let per_second = |micros: f64| 1e6 / micros;
    let two =
        Figure::new("two threads against one", per_second(middle(|round| round.two.answer)), "evaluations/s");
    let two = two.against_by_rounds(
        per_second(middle(|round| round.one.answer)),
        middle(|round| round.one.answer / round.two.answer),
    );
    section.figure(&two.goal(Goal::AtLeast(1.7)))?;
    let control = Figure::new(
        "two threads against one: bare wasmtime, as a control",
        2.0 * per_second(middle(|round| round.bare_two)),
        "evaluations/s",
    );
    section.figure(
        &control.against_by_rounds(per_second(bare), middle(|round| 2.0 * round.bare / round.bare_two)),
    )
}

impl Sandbox {
    async fn start(cache: std::path::PathBuf, guest: &Guest, threads: usize) -> Result<Sandbox> {
        let program = environment::gateway_binary()?.with_file_name("countersign-plugin-compiler");
        let command = CompileCommand { program, arguments: Vec::new() };
        let mut config = HostConfig::new(command, cache, CacheKey::new([1; 32]));
        config.schedule.threads = threads;
        config.schedule.running_per_plugin = threads;
        // A busy machine is not what is measured.
        config.schedule.deadline = Duration::from_mins(1);
        let host = PluginHost::start(&config).map_err(|failure| anyhow!("{failure}"))?;
        let component = guest.component.as_slice();
        let source = ComponentSource { digest: Digest::of(component), bytes: component.into() };
        let plugin = host.prepare(source).await.map_err(|failure| anyhow!("{failure}"))?;
        Ok(Sandbox { host, plugin, settings: guest.settings.clone() })
    }

    /// Keeps `in_flight` evaluations under way until about `count` are done.
    async fn round(&self, in_flight: usize, count: usize) -> Result<Cost> {
        let each = count.div_ceil(in_flight);
        let before = Snapshot::of(std::process::id())?;
        let started = Instant::now();
        let mut running = JoinSet::new();
        for _ in 0..in_flight {
            let (host, plugin) = (self.host.clone(), Arc::clone(&self.plugin));
            let settings = self.settings.clone();
            running.spawn(async move {
                let mut sandbox = Duration::ZERO;
                for _ in 0..each {
                    let evaluated = host
                        .evaluate(&plugin, EvaluationRequest { settings: settings.clone(), ..request() })
                        .await;
                    sandbox += evaluated.map_err(|failure| anyhow!("{failure}"))?.run_time;
                }
                Ok::<_, anyhow::Error>(sandbox)
            });
        }
        let mut sandbox = Duration::ZERO;
        while let Some(finished) = running.join_next().await {
            sandbox += finished??;
        }
        let (elapsed, done) = (started.elapsed(), each * in_flight);
        let processor = Snapshot::of(std::process::id())?.threads_since(&before, "plugin-");
        Ok(Cost {
            processor: micros_each(processor, done),
            sandbox: micros_each(sandbox, done),
            answer: micros_each(elapsed, done),
        })
    }
}

/// wasmtime's error is not a `std::error::Error`.
#[expect(clippy::needless_pass_by_value, reason = "the argument of `map_err`")]
fn wasmtime_failure(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:#}")
}

pub(crate) fn component(guest: &str) -> Result<Vec<u8>> {
    let build = environment::gateway_binary()?;
    let target = build.parent().and_then(Path::parent).context("the gateway lies in no build folder")?;
    let path = target.join(format!("guests/{guest}.wasm"));
    fs::read(&path).with_context(|| format!("no component `{}`: run deploy/guests", path.display()))
}

pub(crate) fn request() -> EvaluationRequest {
    EvaluationRequest {
        verified: VerifiedTransaction {
            organization_id: "0de0c0de-0000-8000-8000-000000000001".to_owned(),
            transaction_id: "0de0c0de-0000-8000-8000-000000000002".to_owned(),
            key_id: "0de0c0de-0000-8000-8000-000000000003".to_owned(),
            chain: "eip155:31337".to_owned(),
            kind: "transfer".to_owned(),
            sender: "0x00000000000000000000000000000000000000aa".to_owned(),
            recipient: Some("0x00000000000000000000000000000000000000bb".to_owned()),
            value: "10000000000000000".to_owned(),
            ceilings: Ceilings { gas_limit: Some(3_000_000), ..Ceilings::default() },
            transactions_to_recipient: 3,
            ..VerifiedTransaction::default()
        },
        claimed: ClaimedTransaction::default(),
        settings: HASHED.clone(),
        grants: Grants::from_iter(Capability::ALL),
        state: Arc::new(NoState),
        outside: Arc::new(NoOutside),
        requested_at_ms: 1_700_000_000_000,
        deadline: None,
    }
}
