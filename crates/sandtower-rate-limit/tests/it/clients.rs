//! Ten clients that share one limit and nothing else, in virtual time: how many of the attempts that
//! they send get a 429, how much of the limit they use, and how long calls wait that are
//! served.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use sandtower_core::{Allowance, Completion, RequestInfo, Rng, Seed, Tick, Verdict};
use sandtower_rate_limit::{Config, Pace, Permit, RateLimit};

use crate::support::{CREATE, acquire, limit, record};

const CLIENTS: usize = 10;
const SECOND: u64 = 1_000_000_000;
const MILLI: u64 = 1_000_000;
/// How long a caller has time for.
const PATIENCE: u64 = 30 * SECOND;
/// For so long it runs before it counts, and so long it counts.
const WARM_UP: u64 = 600 * SECOND;
const LASTS: u64 = 1_200 * SECOND;

/// A limit at a server.
#[derive(Clone, Copy)]
struct Limit {
    interval: u64,
    burst: u64,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// A queue before a rate limit.
    RateLimit,
    /// Each call comes back when `Retry-After` and up to a second are over.
    ObeyRetryAfter,
    /// Each call comes back after 0.25 s, doubled each time up to 8 s, with full jitter.
    BackOff,
}

/// What was measured of the rule before this one, which kept an estimate of the server's own
/// arithmetic and of this client's share, with 12 constants: worst of 3 seeds.
const BEFORE: [(f64, f64, f64); 6] = [
    (0.5, 98.6, 0.00),
    (0.0, 99.9, 0.00),
    (0.0, 100.0, 0.00),
    (2.1, 50.4, 6.22),
    (6.7, 44.8, 3.99),
    (0.3, 57.8, 1.57),
];

/// A server's GCRA with E2B's roundings.
pub(crate) struct Server {
    interval: u64,
    burst: u64,
    full: u64,
    sent: u64,
    passed: u64,
}

impl Server {
    pub(crate) fn new(interval: u64, burst: u64) -> Self {
        Self { interval, burst, full: 0, sent: 0, passed: 0 }
    }

    pub(crate) fn respond(&mut self, now: u64) -> Verdict {
        self.sent += 1;
        let depth = self.interval * self.burst;
        let owed = self.full.saturating_sub(now);
        let told = |remaining, owed: u64| {
            Allowance::new(self.burst, remaining, Duration::from_secs(owed.div_ceil(SECOND)))
        };
        if owed + self.interval > depth {
            // Cut to whole seconds, and at least one.
            let wait = ((owed + self.interval - depth) / SECOND).max(1);
            let verdict = Verdict::throttled().retry_after(Duration::from_secs(wait));
            return verdict.allowance(told(0, owed));
        }
        self.passed += 1;
        let owed = owed + self.interval;
        self.full = now + owed;
        Verdict::success().allowance(told((depth - owed) / self.interval, owed))
    }
}

#[derive(Clone, Copy)]
struct Call {
    arrived: u64,
    /// How often it was sent.
    tries: i32,
}

/// What happens next, to a client.
enum Event {
    Arrive,
    /// The queue is looked at again.
    Look,
    /// A call without a queue is sent.
    Send(Call),
    AtServer(Call, u64, Option<Permit>),
    Respond(Call, u64, Option<Permit>, Verdict),
}

struct Client {
    gate: RateLimit,
    queue: VecDeque<Call>,
    /// When the queue is looked at next.
    looks: u64,
    rng: Rng,
}

/// By time, and by number, so that a run is the same each time.
struct Agenda {
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    events: Vec<Option<(usize, Event)>>,
}

impl Agenda {
    fn add(&mut self, at: u64, client: usize, event: Event) {
        self.heap.push(Reverse((at, self.events.len())));
        self.events.push(Some((client, event)));
    }
}

struct Run {
    way: Way,
    server: Server,
    clients: Vec<Client>,
    agenda: Agenda,
    waits: Vec<u64>,
    /// How many of each client passed.
    passed: Vec<u64>,
    every: f64,
}

#[derive(Debug)]
struct Seen {
    throttled: f64,
    used: f64,
    wait: f64,
    /// What the client got that got least, of an equal share.
    least: f64,
}

impl Run {
    fn new(way: Way, of: Limit, clients: usize, demand: f64, seed: u64) -> Self {
        let seeds = Seed::fixed(seed);
        let client = |_| {
            let rng = seeds.rng();
            let mut config = Config::new("E2B").seed(Seed::fixed(seeds.rng().u64(..)));
            if clients == 1 {
                config = config.pace(CREATE, Pace::every(Duration::from_nanos(of.interval)));
            }
            Client { gate: limit(config), queue: VecDeque::new(), looks: u64::MAX, rng }
        };
        let of_them: Vec<_> = (0..clients).map(client).collect();
        let mut agenda = Agenda { heap: BinaryHeap::new(), events: Vec::new() };
        (0..of_them.len()).for_each(|client| agenda.add(0, client, Event::Arrive));
        let every = of.interval as f64 * of_them.len() as f64 / demand;
        let server = Server::new(of.interval, of.burst);
        Self {
            way,
            server,
            clients: of_them,
            agenda,
            waits: Vec::new(),
            passed: vec![0; clients],
            every,
        }
    }

    fn until(&mut self, end: u64) {
        while let Some(&Reverse((now, number))) = self.agenda.heap.peek() {
            if now > end {
                return;
            }
            self.agenda.heap.pop();
            let (client, event) = self.agenda.events[number].take().unwrap();
            self.step(now, client, event);
        }
    }

    fn step(&mut self, now: u64, client: usize, event: Event) {
        let Self { way, server, clients, agenda, waits, passed, every } = self;
        let of = &mut clients[client];
        let rng = &mut of.rng;
        match event {
            Event::Arrive => {
                agenda.add(now + (-rng.f64().ln() * *every) as u64, client, Event::Arrive);
                let call = Call { arrived: now, tries: 0 };
                match way {
                    Way::RateLimit => of.queue.push_back(call),
                    _ => agenda.add(now, client, Event::Send(call)),
                }
            }
            Event::Look if now == of.looks => of.looks = u64::MAX,
            Event::Look => return,
            Event::Send(mut call) => {
                call.tries += 1;
                agenda.add(now + rng.u64(2..12) * MILLI, client, Event::AtServer(call, now, None));
            }
            Event::AtServer(call, sent, permit) => {
                let verdict = server.respond(now);
                // The work takes 0.3 to 3 s; one that is throttled has none.
                let work = if verdict.is_success() { rng.u64(300..3_000) } else { 0 };
                let at = now + (work + rng.u64(2..12)) * MILLI;
                agenda.add(at, client, Event::Respond(call, sent, permit, verdict));
            }
            Event::Respond(call, sent, permit, verdict) => {
                if let Some(permit) = permit {
                    let done = Completion::new(verdict, tick(sent), tick(now));
                    record(&of.gate, &RequestInfo::new(CREATE), permit, &done);
                }
                if verdict.is_success() {
                    if call.arrived > WARM_UP {
                        waits.push(sent - call.arrived);
                        passed[client] += 1;
                    }
                } else if *way == Way::RateLimit {
                    of.queue.push_front(call);
                } else {
                    let wait = match way {
                        Way::BackOff => {
                            rng.f64() * f64::min(0.25 * 2_f64.powi(call.tries - 1), 8.0)
                        }
                        _ => verdict.retry_after.unwrap().as_secs_f64() + rng.f64(),
                    };
                    let at = now + (wait * SECOND as f64) as u64;
                    if at < call.arrived + PATIENCE {
                        agenda.add(at, client, Event::Send(call));
                    }
                }
            }
        }
        self.look(now, client);
    }

    /// Sends of the queue what may go, and looks again when more may.
    fn look(&mut self, now: u64, client: usize) {
        let Client { gate, queue, looks, rng } = &mut self.clients[client];
        while let Some(call) = queue.front().copied() {
            if now > call.arrived + PATIENCE {
                queue.pop_front();
                continue;
            }
            match acquire(gate, &RequestInfo::new(CREATE), tick(now)) {
                Ok(permit) => {
                    queue.pop_front();
                    let event = Event::AtServer(call, now, Some(permit));
                    self.agenda.add(now + rng.u64(2..12) * MILLI, client, event);
                }
                Err((earliest, _)) => {
                    if *looks != earliest.as_nanos() {
                        *looks = earliest.as_nanos();
                        self.agenda.add(*looks, client, Event::Look);
                    }
                    return;
                }
            }
        }
    }
}

fn tick(nanos: u64) -> Tick {
    Tick::from_nanos(nanos)
}

fn run(way: Way, of: Limit, clients: usize, demand: f64, seed: u64) -> Seen {
    let mut run = Run::new(way, of, clients, demand, seed);
    run.until(WARM_UP);
    let before = (run.server.sent, run.server.passed);
    run.until(WARM_UP + LASTS);
    let (sent, passed) = (run.server.sent - before.0, run.server.passed - before.1);
    run.waits.sort_unstable();
    let fair = run.waits.len() as f64 / clients as f64;
    let least = run.passed.iter().copied().min().unwrap_or(0) as f64;
    Seen {
        least: 100.0 * least / fair,
        throttled: 100.0 * (1.0 - passed as f64 / sent as f64),
        used: 100.0 * passed as f64 * of.interval as f64 / LASTS as f64,
        wait: run.waits[run.waits.len() / 2] as f64 / SECOND as f64,
    }
}

/// The worst of what was seen in each column.
fn worst(way: Way, of: Limit, clients: usize, demand: f64) -> Seen {
    let seeds = if way == Way::RateLimit { 1..=3 } else { 1..=1 };
    let seen = seeds.map(|seed| run(way, of, clients, demand, seed));
    seen.reduce(|worst, seen| Seen {
        throttled: worst.throttled.max(seen.throttled),
        used: worst.used.min(seen.used),
        wait: worst.wait.max(seen.wait),
        least: worst.least.min(seen.least),
    })
    .unwrap()
}

#[test]
fn ten_clients_share_a_limit_without_knowing_of_each_other() {
    let bursty = Limit { interval: SECOND / 5, burst: 10 };
    let one_by_one = Limit { interval: SECOND, burst: 1 };
    println!("limit         demand  way                429     used   wait p50  least share");
    let mut before = BEFORE.iter();
    for (name, of) in [("5/s burst 10", bursty), ("1/s burst 1", one_by_one)] {
        for demand in [1.1, 2.0, 5.0] {
            let row = |way: &str, throttled, used, wait, least: f64| {
                println!(
                    "{name:13} {demand:<7} {way:14} {throttled:5.1} %  {used:5.1} %  {wait:5.2} s  {least:5.1} %"
                );
            };
            for way in [Way::RateLimit, Way::ObeyRetryAfter, Way::BackOff] {
                let seen = worst(way, of, CLIENTS, demand);
                row(&format!("{way:?}"), seen.throttled, seen.used, seen.wait, seen.least);
                assert!(way != Way::RateLimit || seen.least >= 30.0, "a client starves: {seen:?}");
                if way == Way::RateLimit && of.burst > 1 {
                    assert!(seen.throttled <= 5.0 && seen.used >= 97.0, "{seen:?}");
                }
            }
            let (throttled, used, wait) = before.next().unwrap();
            println!(
                "{name:13} {demand:<7} rule before    {throttled:5.1} %  {used:5.1} %  {wait:5.2} s"
            );
        }
    }
}

#[test]
fn any_number_of_clients_shares_a_limit() {
    println!("limit         clients demand    429     used    least share");
    for (name, interval, burst) in [
        ("5/s burst 10", SECOND / 5, 10),
        ("1/s burst 1", SECOND, 1),
        ("20/s burst 40", SECOND / 20, 40),
    ] {
        for clients in [1, 2, 3, 30] {
            for demand in [1.1, 3.0] {
                let seen = run(Way::RateLimit, Limit { interval, burst }, clients, demand, 1);
                println!(
                    "{name:13} {clients:<7} {demand:<7} {:5.1} %  {:5.1} %  {:5.1} %",
                    seen.throttled, seen.used, seen.least
                );
                if burst > 1 || clients == 1 {
                    assert!(seen.throttled <= 5.0 && seen.used >= 97.0, "{seen:?}");
                }
                assert!(seen.least >= 10.0, "a client starves: {seen:?}");
            }
        }
    }
}
