//! A service with so many slots and no more, as callers see it through retry and a waiting room.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

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
use sandtower_testkit::{Answer, Mock};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};

const CREATE: Operation = Operation::new(1, "sandbox_create");
const KILL: Operation = Operation::new(2, "sandbox_kill");
const SECOND: Duration = Duration::from_secs(1);
const LIFE: Duration = Duration::from_secs(30);
const SLOTS: usize = 20;
const CALLS: usize = 200;

/// What a request asks is the request.
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

/// What the service did, and when.
#[derive(Debug, Default)]
struct Seen {
    /// When those that exist end by themselves.
    alive: BinaryHeap<Reverse<Tick>>,
    granted: usize,
    exhausted: Vec<Tick>,
    most: usize,
}

/// A creation takes a second, a "no" and a kill a tenth of one. Sandboxes end after `life`, if it is
/// not the callers who end them.
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
                return Answer::ok(()).after(SECOND / 10);
            }
            if seen.alive.len() >= SLOTS {
                seen.exhausted.push(now);
                let error =
                    ClassifiedError::new(Verdict::exhausted(), "maximum number of sandboxes");
                return Answer::err(error).after(SECOND / 10);
            }
            seen.alive.push(Reverse(life.map_or(Tick::MAX, |life| now + SECOND + life)));
            seen.granted += 1;
            seen.most = seen.most.max(seen.alive.len());
            Answer::ok(()).after(SECOND)
        }
    });
    (mock, seen)
}

struct Outcome {
    seen: Seen,
    took: Duration,
    failed: Vec<BoxError>,
    /// For whoever reads why a test failed.
    told: String,
}

/// All callers come at once.
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
    let told = format!("seed {seed}: {took:?}, {} asked in vain, {failed:?}", seen.exhausted.len());
    Outcome { seen, took, failed, told }
}

/// Ten times twenty sandboxes that live for 30 s each.
const AT_LEAST: Duration = Duration::from_secs(300);

#[tokio::test(start_paused = true)]
async fn two_hundred_creations_share_twenty_slots_that_their_callers_free() {
    for seed in 1..6 {
        let Outcome { seen, took, failed, told } = two_hundred_creations(seed, None, true).await;
        assert!(failed.is_empty(), "{told}");
        assert_eq!((seen.granted, seen.most), (CALLS, SLOTS), "{told}");
        // The four that were under way together when the slots ran out, and a few slow probes.
        assert!(seen.exhausted.len() <= 4 + 6, "{told}");
        assert!(took < AT_LEAST + 20 * SECOND, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_limit_is_known_one_asks_in_vain_and_not_all_that_are_under_way() {
    for (known, in_vain) in [(None, 4), (Some(20), 1)] {
        let Outcome { seen, failed, told, .. } = two_hundred_creations(1, known, true).await;
        assert!(failed.is_empty(), "{told}");
        let first = seen.exhausted[0];
        let together = seen.exhausted.iter().filter(|at| at.since(first) < SECOND).count();
        assert_eq!(together, in_vain, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_sees_sandboxes_end_probes_find_out() {
    for seed in 1..6 {
        let Outcome { seen, took, failed, told } = two_hundred_creations(seed, None, false).await;
        assert!(failed.is_empty(), "{told}");
        assert_eq!((seen.granted, seen.most), (CALLS, SLOTS), "{told}");
        assert!(seen.exhausted.len() <= CALLS / 3, "{told}");
        assert!(took < AT_LEAST + 200 * SECOND, "{told}");
    }
}
