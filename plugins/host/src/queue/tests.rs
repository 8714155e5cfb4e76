use std::collections::VecDeque;
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

/// A model of threads and clients under the real queue, in a time of its own.
struct Model {
    queue: Queue,
    /// When each thread is done, and with which plugin.
    threads: Vec<Option<(u64, Digest)>>,
    /// When each waiting honest evaluation was asked for, in order.
    asked_at: VecDeque<u64>,
    waits: Vec<u64>,
}

/// What an honest evaluation takes, and one that ends at its deadline.
const HONEST_TIME: u64 = 1;
const ENDLESS_TIME: u64 = 500;
const ENDLESS: Digest = FIRST;
const HONEST: Digest = SECOND;

impl Model {
    fn run(threads: usize, endless_clients: usize, honest_clients: usize) -> Self {
        let schedule =
            ScheduleConfig { threads, running_per_plugin: threads / 2, ..ScheduleConfig::default() };
        let queue = Queue::new(&schedule);
        let mut model =
            Self { queue, threads: vec![None; threads], asked_at: VecDeque::default(), waits: Vec::new() };
        for _ in 0..endless_clients {
            model.ask(ENDLESS, 0);
        }
        for _ in 0..honest_clients {
            model.ask(HONEST, 0);
        }
        for now in 0..20_000 {
            model.step(now);
        }
        model
    }

    fn ask(&mut self, plugin: Digest, now: u64) {
        if plugin == HONEST {
            self.asked_at.push_back(now);
        }
        self.queue.push(plugin, Box::new(|| ())).unwrap();
    }

    fn step(&mut self, now: u64) {
        for thread in 0..self.threads.len() {
            if let Some((done_at, plugin)) = self.threads[thread]
                && done_at <= now
            {
                self.threads[thread] = None;
                self.queue.finish(plugin);
                // Whoever was answered asks again.
                self.ask(plugin, now);
            }
        }
        for thread in self.threads.iter_mut().filter(|thread| thread.is_none()) {
            let taken = self.queue.lock().take_turn(self.queue.running_per_plugin);
            let Some((plugin, _)) = taken else { return };
            if plugin == HONEST {
                self.waits.push(now - self.asked_at.pop_front().unwrap());
            }
            *thread = Some((now + if plugin == HONEST { HONEST_TIME } else { ENDLESS_TIME }, plugin));
        }
    }

    fn longest_of_99_percent(&mut self) -> u64 {
        self.waits.sort_unstable();
        self.waits[self.waits.len() * 99 / 100] + HONEST_TIME
    }
}

#[test]
fn clients_of_an_endless_plugin_take_neither_throughput_nor_patience_from_another() {
    for threads in [4, 8, 16] {
        let mut alone = Model::run(threads, 0, 8);
        // More attackers than threads gain nothing over two.
        for attackers in [2, 100] {
            let mut beside = Model::run(threads, attackers, 8);
            let (before, after) = (alone.waits.len(), beside.waits.len());
            assert!(after * 10 >= before * 7, "{after} of {before} with {attackers} on {threads} threads");
            let (before, after) = (alone.longest_of_99_percent(), beside.longest_of_99_percent());
            assert!(after <= 3 * before, "{after} after {before} with {attackers} on {threads} threads");
        }
    }
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
