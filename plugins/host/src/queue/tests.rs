use std::sync::{Arc, Mutex};

use super::Queue;
use crate::config::ScheduleConfig;
use crate::digest::Digest;
use crate::failure::FailureCode;

const FIRST: Digest = Digest([1; 32]);
const SECOND: Digest = Digest([2; 32]);

fn schedule() -> ScheduleConfig {
    ScheduleConfig {
        running_per_plugin: 1,
        waiting_per_plugin: 3,
        waiting_total: 5,
        ..ScheduleConfig::default()
    }
}

fn noting(order: &Arc<Mutex<Vec<Digest>>>, plugin: Digest) -> super::Job {
    let order = Arc::clone(order);
    Box::new(move || order.lock().unwrap().push(plugin))
}

#[test]
fn plugins_take_turns_whatever_the_order_of_arrival() {
    let (queue, order) = (Queue::new(&schedule()), Arc::default());
    for plugin in [FIRST, FIRST, FIRST, SECOND, SECOND] {
        queue.push(plugin, noting(&order, plugin)).unwrap();
    }
    for _ in 0..5 {
        let (plugin, job) = queue.next().unwrap();
        job();
        queue.finish(plugin);
    }
    assert_eq!(*order.lock().unwrap(), [FIRST, SECOND, FIRST, SECOND, FIRST]);
}

#[test]
fn a_plugin_at_its_share_of_threads_is_passed_over() {
    let (queue, order) = (Queue::new(&schedule()), Arc::default());
    for plugin in [FIRST, FIRST, SECOND] {
        queue.push(plugin, noting(&order, plugin)).unwrap();
    }
    let (running, _job) = queue.next().unwrap();
    assert_eq!(running, FIRST);
    assert_eq!(queue.next().unwrap().0, SECOND);
    queue.finish(FIRST);
    assert_eq!(queue.next().unwrap().0, FIRST);
}

#[test]
fn a_plugin_fills_its_own_queue_only() {
    let (queue, order) = (Queue::new(&schedule()), Arc::default());
    for _ in 0..3 {
        queue.push(FIRST, noting(&order, FIRST)).unwrap();
    }
    assert_eq!(queue.push(FIRST, noting(&order, FIRST)), Err(FailureCode::QueueFull));
    assert_eq!(queue.push(SECOND, noting(&order, SECOND)), Ok(()));
}

#[test]
fn all_plugins_together_fill_the_host() {
    let (queue, order) = (Queue::new(&schedule()), Arc::default());
    for plugin in [FIRST, FIRST, FIRST, SECOND, SECOND] {
        queue.push(plugin, noting(&order, plugin)).unwrap();
    }
    assert_eq!(queue.push(Digest([3; 32]), noting(&order, SECOND)), Err(FailureCode::QueueFull));
}

#[test]
fn closing_drops_what_waits_and_ends_the_work() {
    let (queue, order) = (Queue::new(&schedule()), Arc::default());
    queue.push(FIRST, noting(&order, FIRST)).unwrap();
    queue.close();
    queue.work();
    assert!(order.lock().unwrap().is_empty());
    assert_eq!(queue.push(FIRST, noting(&order, FIRST)), Err(FailureCode::ShuttingDown));
}
