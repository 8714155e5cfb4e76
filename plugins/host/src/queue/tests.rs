use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::load::Load;
use super::{Answer, LaneKey, Queue, Run, Slice, Task, Turn};
use crate::config::ScheduleConfig;
use crate::digest::Digest;
use crate::failure::FailureCode;
use crate::subject::Subject;

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

fn subject(plugin: Digest) -> Subject {
    Subject { organization: "organization".into(), component: plugin, settings: plugin }
}

fn answer(give: impl FnOnce() + Send + 'static) -> Answer {
    Box::new(give)
}

fn task(plugin: Digest) -> Task {
    Task { lane: plugin, subject: Some(subject(plugin)), job: Box::new(|_| answer(|| ())) }
}

/// Takes the next turn if there is one, without waiting for it.
fn turn(queue: &Queue) -> Option<LaneKey> {
    queue.lock().take_turn(queue, |_| true).map(|Turn { lane, .. }| lane)
}

const fn short(plugin: Digest) -> LaneKey {
    LaneKey { name: plugin, is_long: false }
}

const fn long(plugin: Digest) -> LaneKey {
    LaneKey { name: plugin, is_long: true }
}

fn overran(queue: &Queue, lane: LaneKey) {
    queue.finish(lane, Some(subject(lane.name)));
}

#[test]
fn plugins_take_turns_whatever_the_order_of_arrival() {
    let queue = Queue::new(&schedule());
    for plugin in [FIRST, FIRST, FIRST, SECOND, SECOND] {
        queue.push(task(plugin)).unwrap();
    }
    let mut order = Vec::new();
    for _ in 0..5 {
        let lane = turn(&queue).unwrap();
        order.push(lane.name);
        queue.finish(lane, None);
    }
    assert_eq!(order, [FIRST, SECOND, FIRST, SECOND, FIRST]);
}

#[test]
fn a_plugin_at_its_share_of_threads_is_passed_over() {
    let queue = Queue::new(&schedule());
    for plugin in [FIRST, FIRST, SECOND] {
        queue.push(task(plugin)).unwrap();
    }
    assert_eq!(turn(&queue), Some(short(FIRST)));
    assert_eq!(turn(&queue), Some(short(SECOND)));
    assert_eq!(turn(&queue), None);
    queue.finish(short(FIRST), None);
    assert_eq!(turn(&queue), Some(short(FIRST)));
}

#[test]
fn a_plugin_fills_its_own_queue_only() {
    let queue = Queue::new(&schedule());
    for _ in 0..3 {
        queue.push(task(FIRST)).unwrap();
    }
    assert_eq!(queue.push(task(FIRST)), Err(FailureCode::QueueFull));
    assert_eq!(queue.push(task(SECOND)), Ok(()));
}

#[test]
fn all_plugins_together_fill_the_host() {
    let queue = Queue::new(&schedule());
    for plugin in [FIRST, FIRST, FIRST, SECOND, SECOND] {
        queue.push(task(plugin)).unwrap();
    }
    assert_eq!(queue.push(task(Digest([3; 32]))), Err(FailureCode::QueueFull));
}

#[test]
fn a_long_run_leaves_its_plugins_share_to_short_ones() {
    let queue = Queue::new(&schedule());
    queue.push(task(FIRST)).unwrap();
    queue.push(task(FIRST)).unwrap();
    assert_eq!(turn(&queue), Some(short(FIRST)));
    assert_eq!(turn(&queue), None);
    assert!(queue.move_to_background(FIRST));
    assert_eq!(turn(&queue), Some(short(FIRST)));
}

#[test]
fn a_subject_with_a_long_run_is_long_for_its_time() {
    let queue = Queue::new(&schedule());
    let lane_of_next = |queue: &Queue| {
        queue.push(task(FIRST)).unwrap();
        turn(queue).unwrap()
    };
    assert_eq!(lane_of_next(&queue), short(FIRST));
    assert!(queue.move_to_background(FIRST));
    overran(&queue, long(FIRST));
    assert_eq!(lane_of_next(&queue), long(FIRST));
    // One that ends in time changes nothing: who alternates gains nothing.
    queue.finish(long(FIRST), None);
    assert_eq!(lane_of_next(&queue), long(FIRST));

    let queue = Queue::new(&ScheduleConfig { long_for: Duration::ZERO, ..schedule() });
    overran(&queue, short(FIRST));
    assert_eq!(lane_of_next(&queue), short(FIRST));
}

#[test]
fn one_subjects_long_runs_are_not_anothers_of_the_same_plugin() {
    let queue = Queue::new(&schedule());
    overran(&queue, short(FIRST));
    let other = Subject { organization: "another".into(), ..subject(FIRST) };
    queue.push(Task { subject: Some(other), ..task(FIRST) }).unwrap();
    assert_eq!(turn(&queue), Some(short(FIRST)));
}

#[test]
fn no_more_long_runs_are_under_way_than_allowed() {
    let schedule = ScheduleConfig { background_threads: 1, running_per_plugin: 2, ..schedule() };
    let queue = Queue::new(&schedule);
    overran(&queue, short(FIRST));
    queue.push(task(FIRST)).unwrap();
    queue.push(task(FIRST)).unwrap();
    queue.push(task(SECOND)).unwrap();
    assert_eq!(turn(&queue), Some(long(FIRST)));
    // The second long one waits; one that turns out to be long keeps its thread.
    assert_eq!(turn(&queue), Some(short(SECOND)));
    assert_eq!(turn(&queue), None);
    assert!(!queue.move_to_background(SECOND));
    overran(&queue, long(FIRST));
    assert!(queue.move_to_background(SECOND));
}

/// A model of threads and clients under the real queue, in a time of its own. What runs in the background takes nothing of
/// the others' time.
struct Model {
    queue: Queue,
    /// When each thread is done, and in which lane.
    threads: Vec<Option<(u64, LaneKey)>>,
    /// When each long run is done.
    background: Vec<u64>,
    /// When each waiting honest evaluation was asked for, in order.
    asked_at: VecDeque<u64>,
    waits: Vec<u64>,
}

/// What an honest evaluation takes, the slice, and what an evaluation takes that ends at its deadline.
const HONEST_TIME: u64 = 1;
const SLICE_TIME: u64 = 10;
const ENDLESS_TIME: u64 = 500;
const ENDLESS: Digest = FIRST;
const HONEST: Digest = SECOND;

impl Model {
    fn run(threads: usize, endless_clients: usize, honest_clients: usize) -> Self {
        let schedule = ScheduleConfig {
            threads,
            running_per_plugin: threads / 2,
            background_threads: threads,
            ..ScheduleConfig::default()
        };
        let mut model = Self {
            queue: Queue::new(&schedule),
            threads: vec![None; threads],
            background: Vec::new(),
            asked_at: VecDeque::default(),
            waits: Vec::new(),
        };
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
        self.queue.push(task(plugin)).unwrap();
    }

    fn step(&mut self, now: u64) {
        let ended = self.background.extract_if(.., |done_at| *done_at <= now).count();
        for _ in 0..ended {
            overran(&self.queue, long(ENDLESS));
            self.ask(ENDLESS, now);
        }
        for thread in 0..self.threads.len() {
            let Some((done_at, lane)) = self.threads[thread].filter(|(done_at, _)| *done_at <= now) else {
                continue;
            };
            if lane == short(HONEST) {
                self.queue.finish(lane, None);
                // Whoever was answered asks again.
                self.ask(HONEST, now);
            } else if self.queue.move_to_background(ENDLESS) {
                self.background.push(done_at + ENDLESS_TIME - SLICE_TIME);
            } else {
                continue;
            }
            self.threads[thread] = None;
        }
        for thread in self.threads.iter_mut().filter(|thread| thread.is_none()) {
            while let Some(lane) = turn(&self.queue) {
                if lane.is_long {
                    self.background.push(now + ENDLESS_TIME);
                    continue;
                }
                let time = if lane == short(HONEST) {
                    self.waits.push(now - self.asked_at.pop_front().unwrap());
                    HONEST_TIME
                } else {
                    SLICE_TIME
                };
                *thread = Some((now + time, lane));
                break;
            }
        }
    }

    fn longest_of_99_percent(&mut self) -> u64 {
        self.waits.sort_unstable();
        self.waits[self.waits.len() * 99 / 100] + HONEST_TIME
    }
}

#[test]
fn clients_of_an_endless_plugin_take_neither_throughput_nor_patience_from_another() {
    for threads in [2, 4, 8, 16] {
        let mut alone = Model::run(threads, 0, 8);
        // More attackers than threads gain nothing over two.
        for attackers in [2, 100] {
            let mut beside = Model::run(threads, attackers, 8);
            let (before, after) = (alone.waits.len(), beside.waits.len());
            assert!(after * 100 >= before * 95, "{after} of {before} with {attackers} on {threads} threads");
            let (before, after) = (alone.longest_of_99_percent(), beside.longest_of_99_percent());
            assert!(after <= before + 1, "{after} after {before} with {attackers} on {threads} threads");
        }
    }
}

/// A queue whose processors are busy for ever.
fn busy(pause_max: Duration) -> Arc<Queue> {
    Arc::new(Queue {
        load: Arc::new(Load::busy()),
        ..Queue::new(&ScheduleConfig { pause_max, ..schedule() })
    })
}

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn a_long_run_stands_still_for_short_ones_until_its_pause_or_its_time_is_over() {
    let pause = Duration::from_millis(30);
    for (pause_max, left) in [(pause, HOUR), (HOUR, pause)] {
        let begun = Instant::now();
        Run::new(busy(pause_max), long(FIRST), false).make_way(begun + left);
        assert!(begun.elapsed() >= pause);
    }
}

#[test]
fn the_more_long_runs_there_are_the_longer_each_stands_still() {
    let pause = Duration::from_millis(15);
    let queue = busy(pause);
    for plugin in [FIRST, SECOND] {
        queue.push(task(plugin)).unwrap();
        turn(&queue).unwrap();
        assert!(queue.move_to_background(plugin));
    }
    let run = Run::new(queue, long(FIRST), false);
    run.make_way(Instant::now() + HOUR);
    assert!(run.stood_still() >= 2 * pause);
}

#[test]
fn a_long_run_gets_on_before_its_deadline_however_busy_others_are() {
    let schedule = ScheduleConfig::default();
    let queue = Queue::new(&schedule);
    queue.lock().background = schedule.background_threads;
    assert!(2 * queue.pause() < schedule.deadline, "{:?} on {} threads", queue.pause(), schedule.threads);
}

#[test]
fn a_run_that_overran_without_a_place_among_the_long_ones_stands_still_as_well() {
    let pause = Duration::from_millis(10);
    let queue = Queue { background_max: 0, slice: Duration::ZERO, ..Arc::into_inner(busy(pause)).unwrap() };
    let run = Arc::new(Run::new(Arc::new(queue), short(FIRST), false));
    let late = Instant::now() + HOUR;
    run.make_way(late);
    assert_eq!(run.stood_still(), Duration::ZERO);
    Slice::of(Arc::clone(&run)).look(late);
    assert!(!run.place().lane.is_long);
    assert!(run.stood_still() >= pause);
}

#[test]
fn an_honest_long_run_has_a_place_beside_as_many_endless_ones_as_there_may_be() {
    let queue = Queue::new(&ScheduleConfig { running_per_plugin: 2, background_threads: 4, ..schedule() });
    overran(&queue, short(FIRST));
    for plugin in [FIRST, FIRST, FIRST, SECOND] {
        queue.push(task(plugin)).unwrap();
    }
    let turns = std::iter::from_fn(|| turn(&queue));
    assert_eq!(turns.collect::<Vec<_>>(), [long(FIRST), short(SECOND), long(FIRST)]);
    assert!(queue.move_to_background(SECOND));
}

#[test]
fn long_jobs_and_short_ones_of_a_plugin_fill_one_queue() {
    let queue = Queue::new(&schedule());
    queue.push(task(FIRST)).unwrap();
    queue.push(task(FIRST)).unwrap();
    queue.lock().long.insert(subject(FIRST), Instant::now());
    queue.push(task(FIRST)).unwrap();
    assert_eq!(queue.push(task(FIRST)), Err(FailureCode::QueueFull));
    let turns = [turn(&queue), turn(&queue)];
    assert_eq!(turns, [Some(short(FIRST)), Some(long(FIRST))]);
}

#[test]
fn as_many_threads_live_after_long_jobs_as_before() {
    let queue = Arc::new(Queue::new(&ScheduleConfig {
        threads: 2,
        waiting_per_plugin: 100,
        ..ScheduleConfig::default()
    }));
    queue.start().unwrap();
    let (sender, done) = mpsc::channel();
    for _ in 0..50 {
        let sender = sender.clone();
        let job = Box::new(move |run: &Arc<Run>| {
            run.overrun();
            answer(move || sender.send(()).unwrap())
        });
        queue.push(Task { job, ..task(FIRST) }).unwrap();
        done.recv().unwrap();
    }
    // Each thread holds the queue, and so does this test.
    let until = Instant::now() + HOUR;
    while Arc::strong_count(&queue) != 3 && Instant::now() < until {
        std::thread::yield_now();
    }
    let running = queue.lock().background;
    assert_eq!((Arc::strong_count(&queue), running), (3, 0));
    assert!(queue.threads_started.load(Ordering::Relaxed) > 2, "none was replaced");
    queue.close();
}

#[test]
fn who_hears_the_answer_of_a_long_run_asks_again_in_the_long_lane() {
    let queue = Arc::new(Queue::new(&ScheduleConfig { background_threads: 1, ..schedule() }));
    let (sender, lanes) = mpsc::channel();
    let asking = Arc::clone(&queue);
    let job = Box::new(move |run: &Arc<Run>| {
        run.waited(HOUR);
        answer(move || {
            asking.push(task(FIRST)).unwrap();
            sender.send(turn(&asking)).unwrap();
            asking.close();
        })
    });
    queue.push(Task { job, ..task(FIRST) }).unwrap();
    queue.work();
    assert_eq!(lanes.recv().unwrap(), Some(long(FIRST)));
}

#[test]
fn what_a_run_waits_for_keeps_no_processor_busy() {
    let queue = Arc::new(Queue::new(&schedule()));
    let begun = Instant::now();
    assert!(!queue.load.is_busy(begun));
    let closing = Arc::clone(&queue);
    let (_sender, nothing) = mpsc::channel::<()>();
    let job = Box::new(move |_: &Arc<Run>| {
        // For what does not come.
        nothing.recv_timeout(Duration::from_millis(50)).unwrap_err();
        answer(move || closing.close())
    });
    queue.push(Task { job, ..task(FIRST) }).unwrap();
    queue.work();
    assert!(!queue.load.is_busy(Instant::now()));
}

#[test]
fn what_is_tried_out_makes_way_for_what_is_decided() {
    let queue = Queue::new(&schedule());
    let aside = queue.aside("plugin-aside", &schedule());
    queue.load.took(HOUR);
    assert!(aside.load.is_busy(Instant::now() + Duration::from_secs(1)));
}

#[test]
fn a_short_run_and_a_long_one_of_a_queue_that_closes_do_not_stand_still() {
    let queue = busy(HOUR);
    let late = Instant::now() + HOUR;
    Run::new(Arc::clone(&queue), short(FIRST), false).make_way(late);
    queue.close();
    Run::new(queue, long(FIRST), false).make_way(late);
}

#[test]
fn closing_drops_what_waits_and_ends_the_work() {
    let (queue, answers) = (Arc::new(Queue::new(&schedule())), mpsc::channel::<()>());
    let (sender, receiver) = answers;
    let job = Box::new(move |_: &Arc<Run>| answer(move || sender.send(()).unwrap()));
    queue.push(Task { job, ..task(FIRST) }).unwrap();
    queue.close();
    queue.work();
    receiver.try_recv().unwrap_err();
    assert_eq!(queue.push(task(FIRST)), Err(FailureCode::ShuttingDown));
}
