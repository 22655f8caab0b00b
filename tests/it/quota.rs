//! A service with a fixed number of slots, through retry and admission control.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower::admission::{AdmissionLayer, Config, Quota, QuotaConfig};
use sandtower::core::{
    BoxError, ClassifiedError, Classify, ClassifyResponse, HasInfo, Operation, Replay, RequestInfo,
    Seed, Tick, Verdict, verdict_of_error,
};
use sandtower::retry::{self, RetryLayer, WhenThrottled};
use sandtower_testkit::{Mock, Reply};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};

const CREATE: Operation = Operation::new(1, "sandbox_create");
const KILL: Operation = Operation::new(2, "sandbox_kill");
const SECOND: Duration = Duration::from_secs(1);
const LIFE: Duration = Duration::from_secs(30);
const SLOTS: usize = 20;
const CALLS: usize = 200;

/// The info of a request is the request.
#[derive(Clone, Copy, Debug)]
struct Literal;

#[derive(Clone, Copy, Debug)]
struct Literally(RequestInfo);

impl Classify<RequestInfo> for Literal {
    type Classifier = Literally;

    fn classify(&self, request: &RequestInfo) -> Literally {
        Literally(*request)
    }
}

impl HasInfo for Literally {
    fn info(&self) -> &RequestInfo {
        &self.0
    }
}

impl ClassifyResponse<()> for Literally {
    fn classify(&self, result: Result<&(), &BoxError>) -> Verdict {
        match result {
            Ok(()) => Verdict::success(),
            Err(error) => verdict_of_error(&**error).unwrap_or(Verdict::unknown()),
        }
    }
}

/// The events at the service, with their times.
#[derive(Debug, Default)]
struct Seen {
    /// When the current sandboxes end by themselves.
    alive: BinaryHeap<Reverse<Tick>>,
    granted: usize,
    exhausted: Vec<Tick>,
    most: usize,
}

/// A creation takes a second, an error and a kill a tenth of one. Sandboxes end after `life`, unless the
/// callers end them.
fn service(life: Option<Duration>) -> (Mock<RequestInfo, ()>, Arc<Mutex<Seen>>) {
    let seen = Arc::<Mutex<Seen>>::default();
    let (mock, _) = Mock::new({
        let seen = Arc::clone(&seen);
        move |info: RequestInfo, _| {
            let (mut seen, now) = (seen.lock().unwrap(), Tick::now());
            while seen.alive.peek().is_some_and(|Reverse(end)| *end <= now) {
                seen.alive.pop();
            }
            if info.operation == KILL {
                seen.alive.pop();
                return Reply::ok(()).after(SECOND / 10);
            }
            if seen.alive.len() >= SLOTS {
                seen.exhausted.push(now);
                let error =
                    ClassifiedError::new(Verdict::exhausted(), "maximum number of sandboxes");
                return Reply::err(error).after(SECOND / 10);
            }
            seen.alive.push(Reverse(life.map_or(Tick::MAX, |life| now + SECOND + life)));
            seen.granted += 1;
            seen.most = seen.most.max(seen.alive.len());
            Reply::ok(()).after(SECOND)
        }
    });
    (mock, seen)
}

struct Outcome {
    seen: Seen,
    took: Duration,
    failed: Vec<BoxError>,
    /// For the message of a failed test.
    summary: String,
}

/// All callers arrive at once.
async fn two_hundred_creations(seed: u64, known: Option<u32>, killed: bool) -> Outcome {
    let (mock, seen) = service((!killed).then_some(LIFE));
    let quota = QuotaConfig::new("E2B").takes(CREATE).releases(KILL).seed(Seed::fixed(seed));
    let quota = Quota::new(known.into_iter().fold(quota, QuotaConfig::limit)).unwrap();
    let room =
        Config::new("E2B").concurrency_for(CREATE, 4).newest_first_after_for(CREATE, Duration::MAX);
    let admission = AdmissionLayer::with_gates(room, quota).unwrap().classify(Literal);
    let retry = retry::Config::recommended().when_throttled(WhenThrottled::Requeue);
    let stack = RetryLayer::new(retry, Literal).layer(admission.layer(mock));
    let start = Tick::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLS {
        let stack = stack.clone();
        callers.spawn(async move {
            stack.clone().oneshot(RequestInfo::new(CREATE)).await?;
            tokio::time::sleep(LIFE).await;
            if killed {
                stack.oneshot(RequestInfo::new(KILL).replay(Replay::Safe)).await?;
            }
            Ok(())
        });
    }
    let failed = callers.join_all().await.into_iter().filter_map(Result::err).collect();
    let took = Tick::now().since(start);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let summary =
        format!("seed {seed}: {took:?}, {} found no slot, {failed:?}", seen.exhausted.len());
    Outcome { seen, took, failed, summary }
}

/// Ten times twenty sandboxes that live for 30 s each.
const AT_LEAST: Duration = Duration::from_secs(300);

#[tokio::test(start_paused = true)]
async fn two_hundred_creations_share_twenty_slots_that_their_callers_free() {
    for seed in 1..6 {
        let Outcome { seen, took, failed, summary } = two_hundred_creations(seed, None, true).await;
        assert!(failed.is_empty(), "{summary}");
        assert_eq!((seen.granted, seen.most), (CALLS, SLOTS), "{summary}");
        // The four in flight when the slots ran out, and a few slow probes.
        assert!(seen.exhausted.len() <= 4 + 6, "{summary}");
        assert!(took < AT_LEAST + 20 * SECOND, "{summary}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_known_limit_one_creation_finds_no_slot_and_not_all_in_flight() {
    for (known, in_vain) in [(None, 4), (Some(20), 1)] {
        let Outcome { seen, failed, summary, .. } = two_hundred_creations(1, known, true).await;
        assert!(failed.is_empty(), "{summary}");
        let first = seen.exhausted[0];
        let together = seen.exhausted.iter().filter(|at| at.since(first) < SECOND).count();
        assert_eq!(together, in_vain, "{summary}");
    }
}

#[tokio::test(start_paused = true)]
async fn probes_find_free_slots_when_ends_of_sandboxes_are_not_seen() {
    for seed in 1..6 {
        let Outcome { seen, took, failed, summary } =
            two_hundred_creations(seed, None, false).await;
        assert!(failed.is_empty(), "{summary}");
        assert_eq!((seen.granted, seen.most), (CALLS, SLOTS), "{summary}");
        assert!(seen.exhausted.len() <= CALLS / 3, "{summary}");
        assert!(took < AT_LEAST + 200 * SECOND, "{summary}");
    }
}
