//! A model of creations: how long they take, and how often they may be sent. Requests of callers go first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use sandtower_core::{Rng, Tenant, Tick};
use sandtower_pool::engine::{Engine, Order, Room};
use sandtower_pool::{Miss, Wall, Wanted};

use super::demand::log_normal;
use super::policy::Rule;

/// What creations are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    /// The interval of creations, and how many may be sent at once after a pause.
    pub create_every: Duration,
    pub create_burst: u32,
    /// How long one takes: the median, and the spread (sigma of a log-normal).
    pub median: Duration,
    pub spread: f64,
}

impl Service {
    /// E2B's Pro plan: 5 creations a second; a second for each, its check included.
    pub(crate) const PRO: Self = Self {
        create_every: Duration::from_millis(200),
        create_burst: 25,
        median: Duration::from_secs(1),
        spread: 0.25,
    };
}

/// What came of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// How long the callers waited who got nothing from stock.
    pub(crate) waits: Vec<Duration>,
    /// The mean number of idle sandboxes.
    pub(crate) idle_mean: f64,
    pub(crate) cost_per_h: f64,
    /// When calls were made, and whether they were hits, in order.
    pub(crate) calls: Vec<(Duration, bool)>,
}

impl Outcome {
    /// The share of calls that were hits.
    pub(crate) fn hits(&self) -> f64 {
        let hits = self.calls.iter().filter(|(_, is_hit)| *is_hit).count();
        hits as f64 / self.calls.len().max(1) as f64
    }
}

/// Which part of a run its figures are of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

#[derive(Clone, Debug)]
enum Event {
    Call,
    /// The creation of a caller, which was passed on, succeeded after so long.
    Passed(Duration),
    Created(Order),
    /// A creation may be sent.
    Due,
    Look,
}

/// Runs `engine` under `calls`. `rule` may set its bounds; ours sets none.
pub(crate) fn run(
    (mut engine, mut rule): (Engine, Rule),
    calls: &[Duration],
    window: Window,
    service: Service,
    seed: u64,
) -> Outcome {
    let mut model = Model {
        service,
        rng: Rng::with_seed(seed ^ 0x5e1f),
        wanted: Wanted::read(br#"{"templateID":"base"}"#).expect("a creation"),
        counts_from: START + window.from,
        next_free: Tick::ZERO,
        orders: VecDeque::new(),
        events: BinaryHeap::new(),
        kept: Vec::new(),
        created: 0,
        outcome: Outcome::default(),
    };
    calls.iter().for_each(|at| model.push(START + *at, Event::Call));
    model.push(START, Event::Look);
    let end = START + window.to;
    let mut idle = Mean::new(model.counts_from);
    let mut look_at = Tick::MAX;
    while let Some((now, event)) = model.pop().filter(|(now, _)| *now <= end) {
        idle.until(now, engine.idle(), engine.spent(now));
        if matches!(event, Event::Call) {
            rule.called(now);
        }
        model.happens(event, &mut engine, now);
        rule.apply(&mut engine, now);
        let wall = Wall(MONDAY + i64::try_from(now.since(START).as_secs()).expect("a date"));
        let work = engine.plan(Room::unknown(), wall, now);
        work.kill.iter().for_each(|id| engine.ended(id, now));
        model.orders.extend(work.create);
        model.send_orders(now);
        let again = work.again.max(now + Duration::from_millis(10));
        if look_at <= now || again < look_at {
            look_at = again;
            model.push(again, Event::Look);
        }
    }
    let mut outcome = model.outcome;
    (outcome.idle_mean, outcome.cost_per_h) = idle.end(end, engine.idle(), engine.spent(end));
    outcome
}

const START: Tick = Tick::from_nanos(1_000_000_000_000);
/// The second of a Monday at 0 o'clock.
const MONDAY: i64 = 1_767_571_200;

struct Model {
    service: Service,
    rng: Rng,
    wanted: Wanted,
    counts_from: Tick,
    /// When the next creation would be due without the burst.
    next_free: Tick,
    orders: VecDeque<Order>,
    events: BinaryHeap<Reverse<(Tick, u64)>>,
    kept: Vec<Option<Event>>,
    created: u64,
    outcome: Outcome,
}

impl Model {
    fn happens(&mut self, event: Event, engine: &mut Engine, now: Tick) {
        match event {
            Event::Call => self.call(engine, now),
            Event::Passed(took) => engine.learn(&self.wanted.shape, took, now),
            Event::Created(order) => {
                self.created += 1;
                let id = format!("i{}", self.created).parse().expect("an id");
                engine.created(&order, id, None, now);
            }
            Event::Due | Event::Look => {}
        }
    }

    fn call(&mut self, engine: &mut Engine, now: Tick) {
        let hand_out = engine.request(&self.wanted, Tenant::ALL, None, now);
        let is_hit = hand_out.is_ok_and(|hand_out| {
            let is_taken = engine.take(&hand_out, now);
            if is_taken {
                engine.served(&hand_out);
                engine.claimed(&hand_out.id, now);
            }
            is_taken
        });
        let counts = now >= self.counts_from;
        if !is_hit {
            engine.missed(Some(&self.wanted), Miss::Empty);
            let there = self.create(now);
            let wait = there.since(now);
            self.push(there, Event::Passed(wait));
            if counts {
                self.outcome.waits.push(wait);
            }
        }
        if counts {
            self.outcome.calls.push((now.since(START), is_hit));
        }
    }

    fn push(&mut self, at: Tick, event: Event) {
        let number = self.kept.len() as u64;
        self.kept.push(Some(event));
        self.events.push(Reverse((at, number)));
    }

    fn pop(&mut self) -> Option<(Tick, Event)> {
        let Reverse((at, number)) = self.events.pop()?;
        Some((at, self.kept[number as usize].take()?))
    }

    /// When the next creation may be sent.
    fn due(&self, now: Tick) -> Tick {
        let ahead = self.service.create_every * (self.service.create_burst - 1);
        now + self.next_free.since(now).saturating_sub(ahead)
    }

    /// When a creation that is asked for now succeeds. It waits for its turn among those of callers.
    fn create(&mut self, now: Tick) -> Tick {
        let sent = self.due(now);
        self.next_free = self.next_free.max(now) + self.service.create_every;
        let took =
            log_normal(&mut self.rng, self.service.median.as_secs_f64(), self.service.spread);
        sent + Duration::from_secs_f64(took)
    }

    /// Creations for the stock are sent while no caller's waits.
    fn send_orders(&mut self, now: Tick) {
        while !self.orders.is_empty() && self.due(now) <= now {
            let at = self.create(now);
            if let Some(order) = self.orders.pop_front() {
                self.push(at, Event::Created(order));
            }
        }
        if !self.orders.is_empty() {
            self.push(self.due(now), Event::Due);
        }
    }
}

/// The mean of idle sandboxes and of cost over time, from a beginning on.
struct Mean {
    from: Tick,
    at: Tick,
    last: Option<(u32, f64)>,
    sum: f64,
    spent_before: f64,
}

impl Mean {
    fn new(from: Tick) -> Self {
        Self { from, at: from, last: None, sum: 0.0, spent_before: 0.0 }
    }

    /// `idle` is what it was until now.
    fn until(&mut self, now: Tick, idle: u32, spent: f64) {
        if now <= self.from {
            self.spent_before = spent;
            return;
        }
        self.sum += now.since(self.at).as_secs_f64() * f64::from(idle);
        (self.at, self.last) = (now, Some((idle, spent)));
    }

    fn end(mut self, end: Tick, idle: u32, spent: f64) -> (f64, f64) {
        self.until(end, idle, spent);
        let seconds = end.since(self.from).as_secs_f64();
        (self.sum / seconds, (spent - self.spent_before) / (seconds / 3_600.0))
    }
}
