//! A gateway that is killed loses nothing it acknowledged, and its audit lane goes on where it ended.

use std::{
    io::{BufRead, BufReader, Write as _},
    process::{Command, Stdio},
};

use futures::{StreamExt, stream::FuturesUnordered};
use gateway_domain::{
    ids::OrganizationId,
    ports::{IdentityReads, UnitOfWork},
};
use gateway_store::DatabaseUrl;

use crate::{
    audit::verified_length,
    database::{Database, on_both_engines, store_at},
    world::World,
};

on_both_engines!(a_killed_process_keeps_every_acknowledged_commit);

const VARIABLE: &str = "COUNTERSIGN_TEST_CRASHING_STORE";

async fn a_killed_process_keeps_every_acknowledged_commit(database: &Database) {
    // The schema, before several processes could race for it.
    database.store().await.close().await;
    let mut acknowledged = Vec::new();
    for enough in [1, 40, 150] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crashes::the_process_that_is_killed", "--nocapture"])
            .env(VARIABLE, database.url.as_str())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let ids = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<OrganizationId>().ok());
        acknowledged.extend(ids.take(enough));
        child.kill().unwrap();
        child.wait().unwrap();

        let store = database.store().await;
        for organization in &acknowledged {
            assert!(
                store.organization(*organization).await.unwrap().is_some(),
                "{organization} was acknowledged"
            );
        }
        let length = verified_length(&store, 1).await;
        assert!(length >= acknowledged.len() as u64);
        World::founded(&store).await;
        assert_eq!(verified_length(&store, 1).await, length + 1);
        store.close().await;
    }
}

/// Not a case of its own: does nothing unless the case above started it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how the parent process names the database")]
async fn the_process_that_is_killed() {
    let Ok(url) = std::env::var(VARIABLE) else { return };
    let store = store_at(&DatabaseUrl::new(url)).await;
    let mut commits = FuturesUnordered::new();
    let commit = || async {
        let world = World::new();
        store.commit(world.changes(world.foundation())).await.unwrap();
        world.organization.id
    };
    (0..8).for_each(|_| commits.push(commit()));
    while let Some(organization) = commits.next().await {
        let mut out = std::io::stdout().lock();
        if writeln!(out, "acknowledged {organization}").is_err() {
            break;
        }
        commits.push(commit());
    }
}
