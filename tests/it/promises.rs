//! The promises of the recommended stack, tested where its users are.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::Full;
use sandtower::E2b;
use sandtower::circuit_breaker::{CircuitBreaker, State};
use sandtower::core::{BoxError, Priority, Seed, Tick};
use sandtower::e2b::{Command, Config, NewSandbox, Sandbox};
use sandtower::rate_limit;
use sandtower::stack::{Builder, Component, Plan, Stack};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::service_fn;

const SECOND: Duration = Duration::from_secs(1);

fn builder() -> Builder {
    Stack::builder(Config::new("e2b_0123").unwrap()).plan(Plan::Pro).seed(Seed::fixed(1))
}

/// A body of frames.
struct Frames(VecDeque<Bytes>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn envelope(flags: u8, message: &str) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flags], &length[..], message.as_bytes()].concat().into()
}

/// A command that starts and whose stream then ends with an error.
fn failing_command() -> Response<Frames> {
    let start = envelope(0, r#"{"event":{"start":{"pid":7}}}"#);
    let end = envelope(2, r#"{"error":{"code":"internal","message":"the node is going away"}}"#);
    let response = Response::builder().header("content-type", "application/connect+json");
    response.body(Frames(VecDeque::from([start, end]))).unwrap()
}

fn sandbox(number: u32) -> Sandbox {
    Sandbox::new(format!("i{number}").parse().unwrap(), None)
}

#[tokio::test(start_paused = true)]
async fn the_data_plane_breaker_counts_streams_that_fail_at_their_end() {
    let http = service_fn(async |_: Request<Full<Bytes>>| Ok::<_, BoxError>(failing_command()));
    let e2b = E2b::new(&builder().build().unwrap(), http);
    let breaker = e2b.handles().data_plane_breaker.clone();
    for number in 0..20 {
        let seen = breaker.snapshot();
        if seen.state != State::Closed {
            break;
        }
        assert_eq!(seen.counters.failed, u64::from(number));
        assert!(e2b.run(&sandbox(number), &Command::new("true")).await.is_err());
        sleep(SECOND).await;
    }
    let seen = breaker.snapshot();
    assert_eq!((seen.counters.trips > 0, seen.counters.succeeded), (true, 0), "{seen:?}");
    assert!(seen.counters.failed >= 7, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn one_sandbox_whose_commands_fail_does_not_affect_the_others() {
    let http = service_fn(async |request: Request<Full<Bytes>>| {
        let is_broken = request.headers().get("e2b-sandbox-id").is_some_and(|id| id == "i0");
        let end = if is_broken {
            return Ok::<_, BoxError>(failing_command());
        } else {
            r#"{"event":{"end":{"exited":true,"status":"exit status 0"}}}"#
        };
        let frames =
            [envelope(0, r#"{"event":{"start":{"pid":7}}}"#), envelope(0, end), envelope(2, "{}")];
        let response = Response::builder().header("content-type", "application/connect+json");
        Ok(response.body(Frames(frames.into())).unwrap())
    });
    let e2b = E2b::new(&builder().build().unwrap(), http);
    for round in 0..100 {
        assert!(e2b.run(&sandbox(0), &Command::new("true")).await.is_err());
        let other = e2b.run(&sandbox(1 + round % 3), &Command::new("true")).await;
        assert!(other.is_ok(), "round {round}: {other:?}");
        sleep(SECOND).await;
    }
    assert_eq!(e2b.snapshot().data_plane_breaker.counters.trips, 0);
}

/// Responds after a moment, with a success once it is up.
fn recovering(
    well: Arc<AtomicU32>,
) -> impl tower::Service<
    Request<Full<Bytes>>,
    Response = Response<Full<Bytes>>,
    Error = BoxError,
    Future: Send,
> + Clone
+ Send
+ Sync {
    service_fn(move |_: Request<Full<Bytes>>| {
        let well = Arc::clone(&well);
        async move {
            sleep(Duration::from_millis(50)).await;
            let status =
                if well.load(SeqCst) > 0 { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
            Ok(Response::builder().status(status).body(Full::from("[]")).unwrap())
        }
    })
}

async fn opened(e2b: &E2b, breaker: &CircuitBreaker) {
    for _ in 0..30 {
        if breaker.snapshot().state != State::Closed {
            return;
        }
        let _ = e2b.health().await;
    }
    panic!("the breaker does not open");
}

#[tokio::test(start_paused = true)]
async fn calls_with_half_a_minute_left_are_all_served_while_the_breaker_ramps_up() {
    for calls in [10, 30] {
        let well = Arc::new(AtomicU32::new(0));
        let stack = builder().build().unwrap();
        let e2b = E2b::new(&stack, recovering(Arc::clone(&well)));
        let breaker = e2b.handles().control_plane_breaker.clone();
        opened(&e2b, &breaker).await;
        well.store(1, SeqCst);
        sleep(12 * SECOND).await;
        let mut callers = JoinSet::new();
        let start = Tick::now();
        for _ in 0..calls {
            let e2b = e2b.clone();
            callers.spawn(async move {
                tokio::time::timeout(30 * SECOND, e2b.list(&Default::default())).await
            });
        }
        while let Some(done) = callers.join_next().await {
            assert!(done.unwrap().expect("in time").is_ok(), "of {calls}, after the outage");
        }
        assert!(Tick::now().since(start) < 5 * SECOND);
        assert!(breaker.snapshot().counters.trips >= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn callers_wait_through_an_outage_if_so_configured() {
    let well = Arc::new(AtomicU32::new(0));
    let stack = builder().admission(|admission| admission.hold_through_outage(Priority::ALL));
    let e2b = E2b::new(&stack.build().unwrap(), recovering(Arc::clone(&well)));
    let breaker = e2b.handles().control_plane_breaker.clone();
    opened(&e2b, &breaker).await;
    let mut callers = JoinSet::new();
    for _ in 0..30 {
        let e2b = e2b.clone();
        callers.spawn(async move { e2b.list(&Default::default()).await.map(drop) });
    }
    sleep(25 * SECOND).await;
    let seen = breaker.snapshot();
    assert!(seen.counters.probes >= 2, "held calls are its probes: {seen:?}");
    well.store(1, SeqCst);
    let start = Tick::now();
    let mut served = 0;
    while let Some(done) = callers.join_next().await {
        served += u32::from(done.unwrap().is_ok());
    }
    assert!(served >= 27, "{served} of 30: those that were sent as probes may have failed");
    assert!(Tick::now().since(start) < 30 * SECOND);
}

/// Throttles the first attempt of each call, which then returns to its position in the queue.
#[tokio::test(start_paused = true)]
async fn throttled_attempts_return_to_the_queue_and_strand_nothing() {
    let seen = Arc::new(AtomicU32::new(0));
    let http = service_fn(move |_: Request<Full<Bytes>>| {
        let number = seen.fetch_add(1, SeqCst);
        async move {
            sleep(Duration::from_millis(300)).await;
            let response = Response::builder();
            Ok::<_, BoxError>(if number % 3 == 1 {
                let limited = response.status(429).header("retry-after", "1");
                limited.body(Full::from(r#"{"code":429,"message":"Rate limit exceeded"}"#)).unwrap()
            } else {
                let body = format!(r#"{{"sandboxID":"i{number}","templateID":"base"}}"#);
                response.status(201).body(Full::from(body)).unwrap()
            })
        }
    });
    let stack = builder().disable(Component::HealthCheck).build().unwrap();
    let e2b = E2b::new(&stack, http);
    let mut callers = JoinSet::new();
    for caller in 0..20 {
        let e2b = e2b.clone();
        callers.spawn(async move {
            sleep(Duration::from_millis(caller * 130)).await;
            e2b.create(&NewSandbox::new("base")).await
        });
    }
    let start = Tick::now();
    while let Some(done) = callers.join_next().await {
        done.unwrap().unwrap();
    }
    assert!(Tick::now().since(start) < 100 * SECOND);
    assert!(e2b.snapshot().admission.queues.iter().all(|queue| queue.waiting == 0));
}

#[tokio::test(start_paused = true)]
async fn a_limit_for_each_operation_never_holds_back_kills() {
    let http = service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, BoxError>(Response::builder().status(204).body(Full::<Bytes>::default()).unwrap())
    });
    let limited = |limit: rate_limit::Config| limit.limit_each(10);
    let e2b = E2b::new(&builder().rate_limit(limited).build().unwrap(), http);
    let start = Tick::now();
    for number in 0..100 {
        e2b.kill(sandbox(number).id()).await.unwrap();
    }
    assert!(Tick::now().since(start) < SECOND);
}
