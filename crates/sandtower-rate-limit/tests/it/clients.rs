//! Ten clients that share one limit and nothing else, in virtual time: how many of the attempts that
//! they send are answered 429, how much of the limit they use, and how long those wait who are
//! served.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_core::{
    Allowance, BoxError, Clock, Operation, RequestInfo, Rng, Tick, Verdict, classify_fn,
};
use sandtower_rate_limit::{Config, PaceLayer, RateLimit};
use sandtower_time::TokioClock;
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};

type Client = BoxCloneService<Call, Verdict, BoxError>;

const CREATE: Operation = Operation::new(1, "sandbox_create");
const CLIENTS: u64 = 10;
/// How long a caller has time for.
const PATIENCE: Duration = Duration::from_secs(30);

/// For so long it runs before it counts, and so long it counts.
fn time(way: Way) -> (Duration, Duration) {
    let seconds = |warm_up, lasts| (Duration::from_secs(warm_up), Duration::from_secs(lasts));
    if way == Way::Pace { seconds(1_200, 1_200) } else { seconds(40, 30) }
}

/// A limit at a server.
#[derive(Clone, Copy)]
struct Limit {
    interval: Duration,
    burst: u32,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Pace,
    /// Comes back when `Retry-After` and up to a second are over.
    ObeyRetryAfter,
    /// Comes back after 0.25 s, doubled each time up to 8 s, with full jitter.
    BackOff,
}

/// A server's GCRA with E2B's roundings.
struct Server {
    limit: Limit,
    full: Tick,
    sent: u64,
    passed: u64,
}

impl Server {
    fn classify(&mut self, now: Tick) -> Verdict {
        self.sent += 1;
        let Limit { interval, burst } = self.limit;
        let depth = interval * burst;
        let owed = self.full.since(now);
        let ceiled =
            |time: Duration| Duration::from_secs(time.as_nanos().div_ceil(1_000_000_000) as u64);
        if owed + interval > depth {
            let wait = Duration::from_secs((owed + interval - depth).as_secs());
            let allowance = Allowance::new(u64::from(burst), 0, ceiled(owed));
            return Verdict::throttled().retry_after(wait).allowance(allowance);
        }
        self.passed += 1;
        let owed = owed + interval;
        self.full = now + owed;
        let remaining = (depth - owed).as_nanos() / interval.as_nanos();
        Verdict::success().allowance(Allowance::new(
            u64::from(burst),
            remaining as u64,
            ceiled(owed),
        ))
    }
}

/// Says when it arrived, and hears when it was sent.
#[derive(Clone)]
struct Call {
    arrived: Tick,
    sent: Arc<AtomicU64>,
}

impl Call {
    fn new() -> Self {
        Self { arrived: TokioClock.now(), sent: Arc::default() }
    }

    fn info(&self) -> RequestInfo {
        let deadline = Some(self.arrived + PATIENCE);
        RequestInfo::new(CREATE).arrived(Some(self.arrived)).deadline(deadline)
    }

    fn waited(&self) -> Duration {
        Tick::from_nanos(self.sent.load(Ordering::Relaxed)).since(self.arrived)
    }
}

#[derive(Debug)]
struct Seen {
    throttled: f64,
    used: f64,
    wait: Duration,
}

async fn run(way: Way, limit: Limit, demand: f64, seed: u64) -> Seen {
    let full = Tick::ZERO;
    let (warm_up, lasts) = time(way);
    let server = Arc::new(Mutex::new(Server { limit, full, sent: 0, passed: 0 }));
    let waits = Arc::new(Mutex::new(Vec::new()));
    let start = TokioClock.now();
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let (info, mut rng) = (Arc::clone(&server), Rng::with_seed(seed * 1_000 + client));
        let network = Arc::new(Mutex::new(Rng::with_seed(seed * 2_000 + client)));
        // There and back take 2 to 12 ms, the work in between 0.3 to 3 s: a throttled one has none.
        let service = service_fn(move |call: Call| {
            call.sent.store(TokioClock.now().as_nanos(), Ordering::Relaxed);
            let (info, network) = (Arc::clone(&info), Arc::clone(&network));
            async move {
                let draw = |range| Duration::from_millis(network.lock().unwrap().u64(range));
                tokio::time::sleep(draw(2..12)).await;
                let verdict = info.lock().unwrap().classify(TokioClock.now());
                let work = if verdict.is_success() { draw(300..3_000) } else { Duration::ZERO };
                tokio::time::sleep(work + draw(2..12)).await;
                Ok::<_, BoxError>(verdict)
            }
        });
        let config = Config::new("E2B").seed(sandtower_core::Seed::fixed(seed * 3_000 + client));
        let layer = PaceLayer::new(RateLimit::new(config).unwrap()).classify(classify_fn(
            |call: &Call| call.info(),
            |result: Result<&Verdict, &BoxError>| result.map_or(Verdict::unknown(), |said| *said),
        ));
        // Boxed: a closure's higher-ranked arguments are lost in a future that is spawned.
        let paced = BoxCloneService::new(layer.layer(service.clone()));
        let service = BoxCloneService::new(service);
        let waits = Arc::clone(&waits);
        clients.push(tokio::spawn(async move {
            let every = limit.interval.as_secs_f64() * CLIENTS as f64 / demand;
            while TokioClock.now().since(start) < warm_up + lasts {
                tokio::time::sleep(Duration::from_secs_f64(-rng.f64().ln() * every)).await;
                let arrived = TokioClock.now();
                let (paced, service) = (paced.clone(), service.clone());
                let (waits, rng) = (Arc::clone(&waits), Rng::with_seed(rng.u64(..)));
                tokio::spawn(async move {
                    let served = match way {
                        Way::Pace => call(paced, way, rng).await,
                        _ => call(service, way, rng).await,
                    };
                    if let Some(wait) = served
                        && arrived.since(start) > warm_up
                    {
                        waits.lock().unwrap().push(wait);
                    }
                });
            }
        }));
    }
    tokio::time::sleep(warm_up).await;
    let at = |server: &Mutex<Server>| {
        let server = server.lock().unwrap();
        (server.sent, server.passed)
    };
    let before = at(&server);
    tokio::time::sleep(lasts).await;
    let after = at(&server);
    for client in clients {
        client.abort();
    }
    let (sent, passed) = ((after.0 - before.0) as f64, (after.1 - before.1) as f64);
    let mut waits = std::mem::take(&mut *waits.lock().unwrap());
    waits.sort_unstable();
    Seen {
        throttled: 1.0 - passed / sent,
        used: passed * limit.interval.as_secs_f64() / lasts.as_secs_f64(),
        wait: waits[waits.len() / 2],
    }
}

/// How long a call waited that was served, until its last attempt was sent.
async fn call(service: Client, way: Way, mut rng: Rng) -> Option<Duration> {
    let (call, mut backoff) = (Call::new(), 0.25);
    loop {
        // Rejected by a line: too late.
        let verdict = service.clone().oneshot(call.clone()).await.ok()?;
        if verdict.is_success() {
            return Some(call.waited());
        }
        let wait = match way {
            // Back to the line.
            Way::Pace => 0.0,
            Way::ObeyRetryAfter => {
                verdict.retry_after.unwrap_or_default().as_secs_f64() + rng.f64()
            }
            Way::BackOff => rng.f64() * backoff,
        };
        backoff = f64::min(backoff * 2.0, 8.0);
        tokio::time::sleep(Duration::from_secs_f64(wait)).await;
        if TokioClock.now().since(call.arrived) > PATIENCE {
            return None;
        }
    }
}

/// The worst of what was seen in each column.
async fn worst(way: Way, limit: Limit, demand: f64) -> Seen {
    let mut worst = Seen { throttled: 0.0, used: 1.0, wait: Duration::ZERO };
    for seed in if way == Way::Pace { 1..=3 } else { 1..=1 } {
        let seen = run(way, limit, demand, seed).await;
        worst.throttled = worst.throttled.max(seen.throttled);
        worst.used = worst.used.min(seen.used);
        worst.wait = worst.wait.max(seen.wait);
    }
    worst
}

#[tokio::test(start_paused = true)]
async fn ten_clients_without_a_shared_store() {
    let bursty = Limit { interval: Duration::from_millis(200), burst: 10 };
    let one_by_one = Limit { interval: Duration::from_secs(1), burst: 1 };
    println!("limit         demand  way              429     used    wait p50  beside the goal");
    for limit in [bursty, one_by_one] {
        for demand in [1.1, 2.0, 5.0] {
            for way in [Way::Pace, Way::ObeyRetryAfter, Way::BackOff] {
                let seen = worst(way, limit, demand).await;
                println!("{}", seen.row(limit, demand, way));
                if way != Way::Pace {
                    assert!(seen.throttled > 0.5, "{seen:?}");
                } else if limit.burst > 1 {
                    // The goals are 1 % and 98 %: the table says how near. These bounds are what
                    // chance never comes near, and what a regression would break.
                    assert!(seen.throttled <= 0.02 && seen.used >= 0.96, "{seen:?}");
                    assert!(demand < 2.0 || seen.wait <= Duration::from_millis(300), "{seen:?}");
                } else {
                    // Of a burst of one nothing remains to steer by: see the table.
                    assert!(seen.throttled <= 0.3 && seen.used >= 0.25, "{seen:?}");
                }
            }
        }
    }
}

impl Seen {
    fn row(&self, limit: Limit, demand: f64, way: Way) -> String {
        let mut missed = Vec::new();
        if self.throttled > 0.01 {
            missed.push(format!("429 by {:.1} points", (self.throttled - 0.01) * 100.0));
        }
        if self.used < 0.98 {
            missed.push(format!("use by {:.1} points", (0.98 - self.used) * 100.0));
        }
        let wait = self.wait.as_secs_f64();
        if demand >= 2.0 && wait > 0.3 {
            missed.push(format!("wait by {:.2} s", wait - 0.3));
        }
        let missed = if missed.is_empty() { "met".to_owned() } else { missed.join(", ") };
        let rate = 1.0 / limit.interval.as_secs_f64();
        format!(
            "{rate}/s burst {:<4} {demand:<7} {:<16} {:5.1} %  {:5.1} %  {wait:6.2} s  {missed}",
            limit.burst,
            format!("{way:?}"),
            self.throttled * 100.0,
            self.used * 100.0,
        )
    }
}
