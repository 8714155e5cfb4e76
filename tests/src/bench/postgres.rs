//! The figure over HTTP again, with PostgreSQL as the database.

use anyhow::Result;
use countersign_tests::postgres::Postgres;

use crate::report::{Figure, Report, progress};
use crate::runtimes::Runtimes;
use crate::scale::Scale;
use crate::signing::Token;
use crate::statistics::{median, percentile_micros};
use crate::throughput::{self, Round};

pub(crate) async fn measure(
    token: &Token,
    runtimes: &Runtimes,
    scale: &Scale,
    report: &Report,
) -> Result<()> {
    progress("signing on PostgreSQL")?;
    let database = Postgres::create().await?;
    let rounds = throughput::rounds_on_postgres(token, runtimes, scale, database.url()).await?;
    let section = report.section(
        "postgres",
        "POST /transactions until the signature is stored, durable, PostgreSQL on the same machine, secp256k1, 16 in flight",
    )?;
    let middle = |pick: fn(&Round) -> f64| median(rounds.iter().map(pick));
    let http = Figure::new(
        "over HTTP, against a bare C_Sign loop on all cores",
        middle(|round| round.answered.per_second),
        "signatures/s",
    );
    let ratio = middle(|round| round.answered.per_second / round.bare.per_second);
    section.figure(&http.against_by_rounds(middle(|round| round.bare.per_second), ratio))?;
    let mut latencies: Vec<_> = rounds.iter().flat_map(|round| round.answered.latencies.clone()).collect();
    let p50 = percentile_micros(&mut latencies, 50);
    let p99 = percentile_micros(&mut latencies, 99);
    section.figure(&Figure::new("request to answer: p99 against p50", p99, "us").against(p50))?;
    let cost = Figure::new(
        "processor time of the gateway per signature, against bare C_Sign",
        middle(|round| round.path.total),
        "us",
    );
    section.figure(&cost.against(middle(|round| round.bare.cpu_micros)))?;
    section.note("the server's own processor time is not in it")
}
