//! A model of creations: how long they take, and how often they may be sent. Requests of callers go first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use sandtower_core::{Rng, Tenant, Tick};
use sandtower_pool::engine::{Engine, Order, Room};
use sandtower_pool::{Miss, Wall, Wanted};

use super::demand::{Demand, log_normal};
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
    pub hits: u64,
    pub misses: u64,
    /// How long the callers waited who got nothing from stock.
    pub waits: Vec<Duration>,
    /// The mean number of idle sandboxes.
    pub idle_mean: f64,
    pub cost_per_h: f64,
    /// When calls were hits, in order.
    pub was_hit: Vec<(Duration, bool)>,
    pub kills: u64,
    pub most_in_stock: u32,
}

#[derive(Clone, Debug)]
enum Event {
    Call,
    Created(Order),
    /// A creation may be sent.
    Due,
    Look,
}

/// Runs `engine` under `demand`. `rule` may set its bounds; ours sets none.
pub(crate) fn run(
    mut engine: Engine,
    mut rule: Rule,
    demand: Demand,
    calls: &[Duration],
    service: Service,
    seed: u64,
) -> Outcome {
    let mut model = Model {
        service,
        rng: Rng::with_seed(seed ^ 0x5e1f),
        next_free: Tick::ZERO,
        orders: VecDeque::new(),
        events: BinaryHeap::new(),
        kept: Vec::new(),
        created: 0,
    };
    let wanted = Wanted::read(br#"{"templateID":"base"}"#).expect("a creation");
    calls.iter().for_each(|at| model.push(START + *at, Event::Call));
    model.push(START, Event::Look);
    let end = START + demand.lasts();
    let (mut outcome, mut idle) = (Outcome::default(), Mean::new(START + demand.counts_from()));
    let mut look_at = Tick::MAX;
    while let Some((now, event)) = model.pop().filter(|(now, _)| *now <= end) {
        idle.until(now, engine.idle(), engine.spent(now));
        match event {
            Event::Call => {
                let counts = now >= START + demand.counts_from();
                rule.called(now);
                let hit = engine.request(&wanted, Tenant::ALL, None, now);
                let is_hit = hit.is_ok_and(|hand_out| engine.take(&hand_out, now));
                if !is_hit {
                    engine.missed(Some(&wanted), Miss::Empty);
                    let wait = model.create(now).since(now);
                    if counts {
                        outcome.waits.push(wait);
                    }
                }
                if counts {
                    outcome.hits += u64::from(is_hit);
                    outcome.misses += u64::from(!is_hit);
                    outcome.was_hit.push((now.since(START), is_hit));
                }
            }
            Event::Created(order) => {
                model.created += 1;
                let id = format!("i{}", model.created).parse().expect("an id");
                engine.created(&order, id, None, now);
            }
            Event::Due | Event::Look => {}
        }
        rule.apply(&mut engine, now);
        let wall = Wall(MONDAY + i64::try_from(now.since(START).as_secs()).expect("a date"));
        let work = engine.plan(Room::unknown(), wall, now);
        outcome.kills += work.kill.len() as u64;
        work.kill.iter().for_each(|id| engine.ended(id, now));
        model.orders.extend(work.create);
        model.send_orders(now);
        let again = work.again.max(now + Duration::from_millis(10));
        if look_at <= now || again < look_at {
            look_at = again;
            model.push(again, Event::Look);
        }
    }
    outcome.most_in_stock = engine.snapshot(end).most_in_stock;
    (outcome.idle_mean, outcome.cost_per_h) = idle.end(end, engine.idle(), engine.spent(end));
    outcome
}

const START: Tick = Tick::from_nanos(1_000_000_000_000);
/// The second of a Monday at 0 o'clock.
const MONDAY: i64 = 1_767_571_200;

struct Model {
    service: Service,
    rng: Rng,
    /// When the next creation would be due without the burst.
    next_free: Tick,
    orders: VecDeque<Order>,
    events: BinaryHeap<Reverse<(Tick, u64)>>,
    kept: Vec<Option<Event>>,
    created: u64,
}

impl Model {
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
