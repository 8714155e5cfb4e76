//! The gateway's figures.

use anyhow::Result;

use crate::report::{Figure, Goal, Report};
use crate::statistics::{median, percentile_micros};
use crate::throughput::{Cost, Measured, Round};

pub(crate) fn print(measured: &Measured, report: &Report) -> Result<()> {
    throughput(measured, report)?;
    processor_time(measured, report)?;
    let section = report.section("memory", "Memory")?;
    let idle = Figure::new("resident, idle, Orion loaded", measured.idle_mebibytes, "MiB");
    section.figure(&idle.goal(Goal::AtMost(80.0)))?;
    let name = format!("resident after {} signatures", measured.signatures);
    section.figure(&Figure::new(name, measured.loaded_mebibytes, "MiB"))
}

fn throughput(measured: &Measured, report: &Report) -> Result<()> {
    let section = report.section(
        "http",
        "POST /transactions until the signature is stored, durable, SQLite, secp256k1, 16 in flight",
    )?;
    let rounds = &measured.rounds;
    let bare = median(rounds.iter().map(|round| round.bare.per_second));
    let figure = |name: &str, per_second| Figure::new(name, per_second, "signatures/s");
    let http = figure(
        "over HTTP, against a bare C_Sign loop on all cores",
        median(rounds.iter().map(|round| round.answered.per_second)),
    );
    let ratio = median(rounds.iter().map(|round| round.answered.per_second / round.bare.per_second));
    section.figure(&http.against_by_rounds(bare, ratio).goal(Goal::AtLeast(0.75)))?;
    let mut latencies: Vec<_> = rounds.iter().flat_map(|round| round.answered.latencies.clone()).collect();
    let p50 = percentile_micros(&mut latencies, 50);
    let p99 = percentile_micros(&mut latencies, 99);
    section.figure(&Figure::new("request to answer: p99 against p50", p99, "us").against(p50))?;
    if let Some(sustained) = &measured.sustained {
        section.figure(
            &figure("while earlier ones are followed to EXECUTED", sustained.per_second).against(bare),
        )?;
    }
    let flooded = &measured.flooded;
    let name =
        format!("while a stranger tries {:.0} keys a second, against none", flooded.guesses_per_second);
    let alone = median(rounds.iter().map(|round| round.answered.per_second));
    let kept = figure(&name, flooded.answered.per_second).against(alone);
    section.figure(&kept.goal(Goal::AtLeast(0.9)))?;
    section.figure(&figure("with anvil as the node", measured.anvil.per_second).against(bare))?;
    section.figure(&Figure::new("processor time of anvil per signature", measured.anvil_micros, "us"))?;
    section.note("the node is a stand-in that answers at once; it and the load generator share the cores")?;
    section.note("P-256 cannot be measured over HTTP yet: wallet keys are secp256k1")
}

fn processor_time(measured: &Measured, report: &Report) -> Result<()> {
    let section =
        report.section("cpu", "Processor time per signature, of the whole gateway process, by thread")?;
    let rounds = &measured.rounds;
    let middle = |pick: fn(&Round) -> f64| median(rounds.iter().map(pick));
    let sign = middle(|round| round.bare.cpu_micros);
    let figure = |name: &str, micros| Figure::new(name, micros, "us");
    section.figure(
        &figure("from request to answer, against bare C_Sign", middle(|round| round.path.total))
            .against(sign),
    )?;
    let beyond = figure(
        "beyond C_Sign and the store",
        middle(|round| round.path.total - round.path.store - round.bare.cpu_micros),
    );
    section.figure(&beyond.goal(Goal::AtMost(150.0)))?;
    let store = figure("the store: SQLite's threads", middle(|round| round.path.store));
    section.figure(&store.goal(Goal::AtMost(500.0)))?;
    section.figure(&figure("plugin threads", middle(|round| round.path.plugins)))?;
    section.figure(&figure(
        "HSM threads beyond C_Sign: verification, queue",
        middle(|round| round.path.hsm - round.bare.cpu_micros),
    ))?;
    let rest = middle(|round| rest(&round.path));
    section.figure(
        &figure("all other threads, against a bare axum handler", rest).against(measured.handler_micros),
    )?;
    let calls = middle(|round| round.path.node_calls);
    let name = format!("of these, about: {calls:.1} node calls of a bare client");
    section.figure(&Figure::new(name, calls * measured.node_call_micros, "us"))?;
    section.figure(&figure(
        "afterwards: following to EXECUTED, all threads",
        middle(|round| round.following.total),
    ))?;
    section.figure(&figure(
        "not the gateway's: load generator and stand-in node",
        middle(|round| round.path.own),
    ))
}

fn rest(cost: &Cost) -> f64 {
    cost.total - cost.store - cost.plugins - cost.hsm
}
