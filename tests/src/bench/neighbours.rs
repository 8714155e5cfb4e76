//! A plugin beside others: a hundred that are installed, and one that loops for ever.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use countersign_tests::environment;
use plugin_host::{
    CacheKey, CompileCommand, ComponentSource, Digest, EvaluationRequest, FailureCode, HostConfig,
    PluginHost, PreparedPlugin, Settings,
};
use tokio::task::JoinSet;

use crate::plugins::{SCRIPTS, Script, component, request};
use crate::report::{Figure, Goal, Report, Section};
use crate::scale::Scale;
use crate::statistics::{median, percentile_micros, rate};

const INSTALLED: u8 = 100;
const RELOADS: usize = 1000;
/// Clients of the honest plugin, and of the one that never ends.
const CLIENTS: usize = 8;
const ATTACKERS: usize = 2;
/// What an evaluation may take, as by default.
const DEADLINE: Duration = Duration::from_millis(500);
/// Never reached: the breaker stays closed.
const NEVER: u32 = u32::MAX;

/// A plugin and the settings that it is asked under.
type Asked = (Arc<PreparedPlugin>, Settings);

/// What clients were answered.
#[derive(Clone, Copy)]
struct Served {
    per_second: f64,
    p99: f64,
}

pub(crate) async fn measure(directory: &Path, scale: &Scale, report: &Report) -> Result<()> {
    let section = report.section("neighbours", "Orion beside other plugins, default threads, 8 clients")?;
    let orion = component("orion")?;
    let many = start(&directory.join("many"), |_| {})?;
    let mut installed = Vec::new();
    for number in 0..INSTALLED {
        installed.push((prepare(&many, &numbered(&orion, number)).await?, request().settings));
    }
    let resident = crate::processor::resident_mebibytes(std::process::id())?;
    let first = &installed[..1];
    let rounds = rounds(scale.rounds, async || {
        Ok((
            serve(&many, first, scale.short_round).await?,
            serve(&many, &installed, scale.short_round).await?,
        ))
    });
    let rounds = rounds.await?;
    section.figure(&compared("100 plugins in turn, against one", &rounds).goal(Goal::AtLeast(0.7)))?;
    section.figure(&Figure::new("resident with 100 plugins prepared", resident, "MiB"))?;

    drop(installed);
    let (before, after) = reloaded(&many, &orion).await?;
    let plateau = Figure::new("resident after 1,000 reloads under load, against 100", after, "MiB");
    section.figure(&plateau.against(before).goal(Goal::AtMost(1.1)))?;

    for (name, failures) in
        [("two clients of an endless plugin", 20), ("the same without its breaker", NEVER)]
    {
        let folder = directory.join(name.replace(' ', "-"));
        let host = start(&folder, |config| config.schedule.breaker_failures = failures)?;
        let honest = [(prepare(&host, &orion).await?, request().settings)];
        let endless = prepare(&host, &component("hostile")?).await?;
        tell(&section, name, &rounds_of(&host, (&honest, &endless), scale).await?)?;
    }
    section.note("an endless evaluation ends at its deadline of 500 ms; its clients ask again at once")?;
    for script in SCRIPTS {
        measure_script(&script, directory, scale, report).await?;
    }
    Ok(())
}

/// One plugin of a language with an interpreter: beside 99 others that are installed, and beside an endless one.
async fn measure_script(script: &Script, directory: &Path, scale: &Scale, report: &Report) -> Result<()> {
    let Script { component: name, language, prefixes: [_, prefix], settings } = script;
    let title = format!("{language} ({name}) beside other plugins, default threads, 8 clients");
    let section = report.section(prefix, &title)?;
    let host = start(&directory.join(format!("beside-{name}")), |_| {})?;
    let own = [(prepare(&host, &component(name)?).await?, Settings::from(*settings))];
    let mut alone = Vec::new();
    for _ in 0..scale.rounds {
        alone.push(serve(&host, &own, scale.short_round).await?);
    }
    let orion = component("orion")?;
    let mut others = Vec::new();
    for number in 1..INSTALLED {
        others.push((prepare(&host, &numbered(&orion, number)).await?, request().settings));
    }
    let mut beside = Vec::new();
    for without in alone {
        // Each of the others has been asked since.
        serve(&host, &others, scale.short_round / 4).await?;
        beside.push((without, serve(&host, &own, scale.short_round).await?));
    }
    section.figure(&compared("with 99 others installed, against alone", &beside).goal(Goal::AtLeast(0.7)))?;
    let endless = prepare(&host, &component("hostile")?).await?;
    tell(&section, "two clients of an endless plugin", &rounds_of(&host, (&own, &endless), scale).await?)
}

/// Throughput and latency beside a neighbour, against without.
fn tell(section: &Section, neighbour: &str, rounds: &[(Served, Served)]) -> Result<()> {
    let throughput = compared(&format!("{neighbour}: throughput of another"), rounds);
    section.figure(&throughput.goal(Goal::AtLeast(0.7)))?;
    let middle = |pick: fn(&(Served, Served)) -> f64| median(rounds.iter().map(pick));
    let p99 = Figure::new(format!("{neighbour}: p99 of another"), middle(|(_, with)| with.p99), "us");
    let p99 = p99.against_by_rounds(
        middle(|(without, _)| without.p99),
        middle(|(without, with)| with.p99 / without.p99),
    );
    section.figure(&p99.goal(Goal::AtMost(3.0)))
}

/// Megabytes resident after a hundred activations and after a thousand, each replacing the one before while clients
/// evaluate.
async fn reloaded(host: &PluginHost, component: &[u8]) -> Result<(f64, f64)> {
    let mut resident = Vec::new();
    for number in 0..RELOADS {
        let next =
            prepare(host, &numbered(component, u8::try_from(number % usize::from(INSTALLED))?)).await?;
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (host, next) = (host.clone(), Arc::clone(&next));
            clients.spawn(async move { host.evaluate(&next, request()).await.map(drop) });
        }
        while let Some(finished) = clients.join_next().await {
            finished?.map_err(|failure| anyhow!("{failure}"))?;
        }
        if [RELOADS / 10, RELOADS].contains(&(number + 1)) {
            resident.push(crate::processor::resident_mebibytes(std::process::id())?);
        }
    }
    Ok((resident[0], resident[1]))
}

async fn rounds_of(
    host: &PluginHost,
    (honest, endless): (&[Asked], &Arc<PreparedPlugin>),
    scale: &Scale,
) -> Result<Vec<(Served, Served)>> {
    // Long enough for several deadlines.
    let length = scale.short_round.max(4 * DEADLINE);
    let mut measured = Vec::new();
    for _ in 0..scale.rounds.min(3) {
        let without = serve(host, honest, length).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut attackers = JoinSet::new();
        for _ in 0..ATTACKERS {
            attackers.spawn(attack(host.clone(), Arc::clone(endless), Arc::clone(&stop)));
        }
        let with = serve(host, honest, length).await?;
        stop.store(true, Ordering::Relaxed);
        while let Some(ended) = attackers.join_next().await {
            ended??;
        }
        measured.push((without, with));
    }
    Ok(measured)
}

async fn rounds(
    count: usize,
    round: impl AsyncFn() -> Result<(Served, Served)>,
) -> Result<Vec<(Served, Served)>> {
    let mut measured = Vec::new();
    for _ in 0..count {
        measured.push(round().await?);
    }
    Ok(measured)
}

fn compared(name: &str, rounds: &[(Served, Served)]) -> Figure {
    let middle = |pick: fn(&(Served, Served)) -> f64| median(rounds.iter().map(pick));
    Figure::new(name, middle(|(_, with)| with.per_second), "evaluations/s").against_by_rounds(
        middle(|(without, _)| without.per_second),
        middle(|(without, with)| with.per_second / without.per_second),
    )
}

/// Asks until it is told to stop. Answers come at the deadline, or from the breaker.
async fn attack(host: PluginHost, endless: Arc<PreparedPlugin>, stop: Arc<AtomicBool>) -> Result<()> {
    // As fast as a client over a network asks, once it is refused at once.
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let asked = EvaluationRequest { settings: "endless loop".into(), ..request() };
        let failure = host.evaluate(&endless, asked).await.err().context("an endless plugin answered")?;
        let stopped = matches!(failure.code, FailureCode::Timeout | FailureCode::BreakerOpen);
        ensure!(stopped, "the endless plugin failed with {failure}");
    }
    Ok(())
}

/// Keeps the clients busy with the plugins in turn.
async fn serve(host: &PluginHost, plugins: &[Asked], length: Duration) -> Result<Served> {
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (host, plugins) = (host.clone(), plugins.to_vec());
        clients.spawn(async move {
            let mut latencies = Vec::new();
            for (plugin, settings) in plugins.iter().cycle().skip(client) {
                if started.elapsed() >= length {
                    break;
                }
                let asked = Instant::now();
                let request = EvaluationRequest { settings: settings.clone(), ..request() };
                host.evaluate(plugin, request).await.map_err(|failure| anyhow!("{failure}"))?;
                latencies.push(asked.elapsed());
            }
            Ok::<_, anyhow::Error>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(finished) = clients.join_next().await {
        latencies.append(&mut finished??);
    }
    let per_second = rate(latencies.len(), started.elapsed());
    Ok(Served { per_second, p99: percentile_micros(&mut latencies, 99) })
}

fn start(cache: &Path, change: impl FnOnce(&mut HostConfig)) -> Result<PluginHost> {
    fs::create_dir_all(cache.parent().context("a folder")?)?;
    let program = environment::gateway_binary()?.with_file_name("countersign-plugin-compiler");
    let command = CompileCommand { program, arguments: Vec::new() };
    let mut config = HostConfig::new(command, cache.to_owned(), CacheKey::new([1; 32]));
    config.schedule.deadline = DEADLINE;
    change(&mut config);
    PluginHost::start(&config).map_err(|failure| anyhow!("{failure}"))
}

async fn prepare(host: &PluginHost, component: &[u8]) -> Result<Arc<PreparedPlugin>> {
    let source = ComponentSource { digest: Digest::of(component), bytes: component.into() };
    host.prepare(source).await.map_err(|failure| anyhow!("{failure}"))
}

/// The component with a custom section that holds a number: another digest, the same work.
fn numbered(component: &[u8], number: u8) -> Vec<u8> {
    [component, &[0, 3, 1, b'n', number]].concat()
}
