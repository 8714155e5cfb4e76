//! Answers that settle nothing: what is sent again, under which key, and what is never called failed.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use countersign_tests::fireblocks::Mood;
use countersign_tests::lying_node::Gate;
use countersign_tests::main_job::text;
use countersign_tests::wait;
use serde_json::json;
use tokio::time::timeout;

use super::{DEADLINE, HASH, Scene};

/// Fireblocks repeats what it answered under a key, so an answer that settles nothing costs the key, not the transaction.
/// What such a try carried must have run out before the next.
#[tokio::test]
async fn an_answer_that_settles_nothing_is_asked_again_under_another_key() -> Result<()> {
    let scene = Scene::with_permits_for(10).await?;
    let gateway = scene.stand.installation.start().await?;
    scene.integrate(&gateway).await?;
    let mut orders = Vec::new();
    for (number, status, code) in [(1, 401, -12), (2, 408, 0), (3, 429, 0), (4, 503, 0), (5, 400, 1438)] {
        scene.fireblocks.set_mood(Mood::Refuse { status, code });
        let order = scene.order(number, 1);
        let waiting = scene.ask(&gateway, &order).await?.expect(201)?;
        assert_eq!(waiting["status"], "QUEUED", "{status}");
        orders.push((status, order));
    }
    scene.fireblocks.set_mood(Mood::Honest);
    for (status, order) in orders {
        let name = text(&order, "requestHash")?;
        let taken =
            wait::until("Fireblocks to take it", DEADLINE, async || Ok(scene.fireblocks.taken(name))).await;
        taken.with_context(|| format!("after {status}: {}", gateway.output()))?;
        scene.fireblocks.set_status(name, "COMPLETED", Some(HASH))?;
        let executed = scene.stand.job(&gateway).final_transaction(name).await?;
        assert_eq!(executed["status"], "EXECUTED", "{status}");
        let mut posts = scene.fireblocks.posts();
        posts.retain(|(_, body)| body["externalTxId"] == name);
        let keys: BTreeSet<&str> = posts.iter().map(|(key, _)| key.as_str()).collect();
        assert!(posts.len() >= 2 && keys.len() == posts.len(), "{status}: {posts:#?}");
        assert!(posts.iter().all(|(_, body)| *body == posts[0].1), "{status}: bodies differ: {posts:#?}");
    }
    scene.check_requests()
}

/// A time-out of something on the way, after Fireblocks took the transaction.
#[tokio::test]
async fn what_was_taken_behind_a_time_out_is_found_and_sent_once() -> Result<()> {
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    scene.integrate(&gateway).await?;
    for (number, status) in [(1, 408), (2, 504)] {
        scene.fireblocks.set_mood(Mood::TakeAndRefuse { status, code: 0 });
        let order = scene.order(number, 1);
        let sent = scene.ask(&gateway, &order).await?.expect(201)?;
        assert_eq!(sent["status"], "SUBMITTED", "{status}");
        assert_eq!(scene.fireblocks.posts().len(), usize::from(number), "{status}");
    }
    scene.check_requests()
}

/// Killed while the answer is under way, and started again before the vendor's look-up shows what it took: the same
/// request under the same key gets the answer that was missed.
#[tokio::test]
async fn killed_before_the_answer_and_not_found_yet_it_gets_the_first_answer_again() -> Result<()> {
    let gate = Gate::new();
    let scene = Scene::new().await?;
    let gateway = scene.stand.installation.start().await?;
    scene.integrate(&gateway).await?;
    // Whoever carries the transaction on meanwhile is not to find it either.
    scene.fireblocks.hide(true);
    scene.fireblocks.set_mood(Mood::HoldAfter(gate.clone()));
    let order = scene.order(1, 1);
    let name = text(&order, "requestHash")?;
    tokio::select! {
        answered = scene.ask(&gateway, &order) => drop(answered?),
        reached = timeout(DEADLINE, gate.reached()) => reached.context("nothing arrived")?,
    }
    gateway.kill()?;
    scene.fireblocks.set_mood(Mood::Honest);
    gate.release();
    let gateway = scene.stand.installation.start().await?;
    let posts = wait::until("the second try", DEADLINE, async || {
        let posts = scene.fireblocks.posts();
        Ok((posts.len() == 2).then_some(posts))
    });
    let posts = posts.await.with_context(|| gateway.output())?;
    assert_eq!(posts[0], posts[1], "key and body");
    scene.fireblocks.hide(false);
    let taken = scene.fireblocks.taken(name).context("it was taken")?;
    scene.fireblocks.set_status(name, "COMPLETED", Some(HASH))?;
    let executed = scene.stand.job(&gateway).final_transaction(name).await?;
    assert_eq!(executed["status"], "EXECUTED");
    assert_eq!(scene.ask(&gateway, &order).await?.expect(201)?["id"], json!(taken.id));
    assert_eq!(scene.fireblocks.posts().len(), 2);
    gateway.stop().await?;
    scene.stand.installation.verify_audit()?;
    scene.check_requests()
}
