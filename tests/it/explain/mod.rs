//! Where the time of a call went, as those who call the stack see it.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

mod spans;

use std::collections::VecDeque;
use std::future::pending;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use sandtower::E2b;
use sandtower::core::{
    Backoff, BoxError, CallEnd, Explanation, ObserveCalls, Outcome, Seed, StageKind, explained,
};
use sandtower::e2b::{Config, E2bClassify, ListSandboxes, NewSandbox, operation as op};
use sandtower::fallback::FallbackLayer;
use sandtower::http::{Explain, server_timing};
use sandtower::rate_limit::Pace;
use sandtower::stack::{Builder, Component, Plan, Stack, StackService};
use tokio::time::{sleep, timeout};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};

use super::client::log::Log;

const SECOND: Duration = Duration::from_secs(1);
const TENTH: Duration = Duration::from_millis(100);

type Http = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

/// What the service was sent.
type Sent = Arc<Mutex<Vec<HeaderMap>>>;

/// Without jitter, so that each stage takes a time that is known.
fn builder() -> Builder {
    let even = Backoff::constant(3 * TENTH);
    Stack::builder(Config::new("e2b_0123").unwrap())
        .plan(Plan::Pro)
        .seed(Seed::fixed(1))
        .disable(Component::HealthCheck)
        .retry(move |retry| {
            retry.transient(even).unknown(even).attempts(NonZeroU32::MIN.saturating_add(2))
        })
}

/// Responds with each status after its time, then with 200 after none.
fn script(script: &[(Duration, u16)]) -> (Http, Sent) {
    let left = Arc::new(Mutex::new(VecDeque::from(script.to_vec())));
    let sent = Sent::default();
    let seen = Arc::clone(&sent);
    let http = BoxCloneSyncService::new(service_fn(move |request: Request<Full<Bytes>>| {
        seen.lock().unwrap().push(request.headers().clone());
        let next = left.lock().unwrap().pop_front();
        async move {
            let (after, status) = next.unwrap_or((Duration::ZERO, 200));
            sleep(after).await;
            let body = match status {
                201 => r#"{"sandboxID":"i0abc"}"#,
                _ => "[]",
            };
            Ok(Response::builder().status(status).body(Full::from(body)).unwrap())
        }
    }));
    (http, sent)
}

fn list() -> Request<Full<Bytes>> {
    Request::get("https://api.e2b.app/v2/sandboxes").body(Full::default()).unwrap()
}

fn create() -> Request<Full<Bytes>> {
    Request::post("https://api.e2b.app/v2/sandboxes").body(Full::from("{}")).unwrap()
}

/// The explanation on the response, or in the error, to `request`.
async fn explanation(service: StackService, request: Request<Full<Bytes>>) -> Explanation {
    match service.oneshot(request).await {
        Ok(response) => response.extensions().get::<Explanation>().unwrap().clone(),
        Err(error) => {
            let found = sandtower::core::find::<sandtower::core::ExplainedError>(&*error);
            found.unwrap().explanation().clone()
        }
    }
}

fn explaining(builder: Builder, http: Http) -> StackService {
    builder.explain(Explain::new()).build().unwrap().layer(http)
}

#[tokio::test(start_paused = true)]
async fn a_retried_call_says_what_each_attempt_and_each_wait_took() {
    let (http, _) = script(&[(4 * TENTH, 503), (12 * TENTH, 200)]);
    let call = explanation(explaining(builder(), http), list()).await;
    // Its last quarter is drawn.
    let backoff = call.time_in(StageKind::Backoff);
    assert!((3 * TENTH * 3 / 4..=3 * TENTH).contains(&backoff), "{backoff:?}");
    let seconds = backoff.as_secs_f64();
    assert_eq!(
        call.to_string(),
        format!(
            "attempt 1 failed (503) after 0.4 s, backoff {seconds:.1} s, attempt 2 succeeded in 1.2 s"
        )
    );
    assert_eq!(call.total(), 16 * TENTH + backoff);
    let (total, millis) = (1_600.0 + seconds * 1_000.0, seconds * 1_000.0);
    assert_eq!(
        server_timing(&call),
        format!(
            "total;dur={total:.1}, attempt;dur=400.0;desc=\"1: 503\", backoff;dur={millis:.1}, \
             attempt;dur=1200.0;desc=\"2: 200\""
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_in_the_queue_says_what_held_it() {
    let (http, _) = script(&[]);
    let paced = builder()
        .rate_limit(|limit| limit.pace(op::SANDBOX_LIST, Pace::every(2 * SECOND).burst(1)));
    let service = explaining(paced, http);
    let first = explanation(service.clone(), list()).await;
    assert_eq!(first.time_in(StageKind::Queue), Duration::ZERO);
    let second = explanation(service, list()).await;
    assert_eq!(second.to_string(), "queue 2.0 s (rate limit), attempt 1 succeeded in 0 ms");
}

#[tokio::test(start_paused = true)]
async fn a_full_service_and_a_throttled_attempt_are_both_named() {
    let (http, _) = script(&[(SECOND, 200), (TENTH, 429)]);
    let narrow = builder().admission(|admission| admission.concurrency(1));
    let service = explaining(narrow, http);
    let (_, second) =
        tokio::join!(explanation(service.clone(), list()), explanation(service, list()));
    let text = second.to_string();
    assert!(
        text.starts_with(
            "queue 1.0 s (admission), attempt 1 was throttled (429) after 0.1 s, queue"
        ),
        "{text}"
    );
    assert!(text.ends_with("attempt 2 succeeded in 0 ms"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_before_any_attempt_says_which_layer_it_was() {
    let (http, sent) = script(&[]);
    let stack = builder().explain(Explain::new()).build().unwrap();
    drop(stack.handles().admission.begin_shutdown());
    let call = explanation(stack.layer(http), create()).await;
    assert_eq!(call.to_string(), "rejected: admission `E2B` for sandbox_create is shutting down");
    assert_eq!((call.attempts(), call.outcome()), (0, Outcome::Rejected));
    assert!(sent.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rejection_between_attempts_keeps_what_came_before() {
    let (http, _) = script(&[(TENTH, 503)]);
    let stack = builder().explain(Explain::new()).build().unwrap();
    let breaker = stack.handles().control_plane_breaker.clone();
    let call = explanation(stack.layer(http), list());
    let opens = async {
        sleep(2 * TENTH).await;
        breaker.force_open();
    };
    let (call, ()) = tokio::join!(call, opens);
    let text = call.to_string();
    assert!(text.starts_with("attempt 1 failed (503) after 0.1 s, backoff"), "{text}");
    assert!(text.contains("s, rejected: circuit breaker `E2B` is open"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_deadline_ends_says_where_it_was() {
    let http = service_fn(async |_: Request<Full<Bytes>>| {
        pending::<Result<Response<Full<Bytes>>, BoxError>>().await
    });
    let short = |builder: Builder| builder.timeouts(|times| times.call(op::SANDBOX_LIST, SECOND));
    let service = explaining(
        short(builder()).admission(|admission| admission.concurrency(1)),
        BoxCloneSyncService::new(http),
    );
    let first = tokio::spawn(explanation(service.clone(), list()));
    sleep(TENTH).await;
    let second = explanation(service, list()).await;
    assert_eq!(
        first.await.unwrap().to_string(),
        "attempt 1 got no response after 1.0 s",
        "of the attempt in flight"
    );
    assert!(second.to_string().starts_with("queue 0.9 s (admission)"), "{second}");
}

#[tokio::test(start_paused = true)]
async fn a_health_check_is_a_stage_without_its_probes() {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let stack =
        Stack::builder(Config::new("e2b_0000000000000000000000000000000000000000").unwrap());
    let stack = stack.seed(Seed::fixed(1)).explain(Explain::new()).build().unwrap();
    let e2b = E2b::new(&stack, sim);
    let (created, call) = explained(e2b.create(&NewSandbox::new("base"))).await;
    created.unwrap();
    let kinds: Vec<_> = call.stages().iter().map(|stage| stage.kind).collect();
    assert_eq!(kinds, [StageKind::Attempt, StageKind::HealthCheck], "{call}");
    assert!(call.time_in(StageKind::HealthCheck) > Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_client_is_explained() {
    let (http, _) = script(&[(TENTH, 404), (TENTH, 503), (TENTH, 503), (TENTH, 503)]);
    let stack = builder().explain(Explain::new()).build().unwrap();
    let e2b = E2b::new(&stack, http);
    let id = "i0abc".parse().unwrap();
    let error = e2b.info(&id).await.unwrap_err();
    let text = error.explanation().unwrap().to_string();
    assert_eq!(text, "attempt 1 failed (404) after 0.1 s");
    let error = e2b.list(&ListSandboxes::default()).await.unwrap_err();
    assert_eq!(error.explanation().unwrap().attempts(), 3, "{error}");
    drop(stack.handles().admission.begin_shutdown());
    let error = e2b.info(&id).await.unwrap_err();
    assert!(error.rejection().is_some(), "it is found through the explanation");
    assert_eq!(error.explanation().unwrap().outcome(), Outcome::Rejected);
}

/// Keeps a line for each call.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl ObserveCalls for Lines {
    fn call_ended(&self, call: &CallEnd<'_>) {
        let CallEnd { info, explanation, .. } = call;
        let line = format!("{} {}: {explanation}", info.operation, call.outcome());
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test(start_paused = true)]
async fn each_call_is_observed_once_however_it_ends() {
    let (http, _) = script(&[(TENTH, 200), (SECOND, 200), (TENTH, 404)]);
    let lines = Arc::new(Lines::default());
    let stack = builder().observe_calls(lines.clone()).build().unwrap();
    let service: StackService = stack.layer(http);
    let response = service.clone().oneshot(list()).await.unwrap();
    assert!(response.extensions().get::<Explanation>().is_none(), "it was not asked for");
    assert!(timeout(TENTH, service.clone().oneshot(list())).await.is_err());
    service.clone().oneshot(list()).await.unwrap();
    drop(service.oneshot(list()));
    assert_eq!(
        *lines.0.lock().unwrap(),
        [
            "sandbox_list success: attempt 1 succeeded in 0.1 s",
            "sandbox_list cancelled: attempt 1 was cancelled after 0.1 s",
            "sandbox_list permanent: attempt 1 failed (404) after 0.1 s",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn slow_and_rejected_calls_are_logged_and_no_others() {
    let log = Log::default();
    let _logging = log.begin();
    let (http, _) = script(&[(SECOND, 200), (TENTH, 200)]);
    let stack = builder().explain(Explain::new().slow_after(Some(SECOND / 2))).build().unwrap();
    let service: StackService = stack.layer(http);
    service.clone().oneshot(list()).await.unwrap();
    service.clone().oneshot(list()).await.unwrap();
    drop(stack.handles().admission.begin_shutdown());
    for _ in 0..50 {
        assert!(service.clone().oneshot(create()).await.is_err());
    }
    let text = log.text();
    assert_eq!(text.matches("slow call").count(), 1, "{text}");
    assert!(text.contains("attempt 1 succeeded in 1.0 s"), "{text}");
    assert_eq!(text.matches("rejected call").count(), 9, "ten a second in all: {text}");
}

#[tokio::test(start_paused = true)]
async fn an_alternative_is_a_stage_after_what_led_to_it() {
    for explain in [Explain::off(), Explain::new()] {
        let (http, _) = script(&[(TENTH, 503), (TENTH, 503), (TENTH, 503)]);
        let (other, _) = script(&[(2 * TENTH, 200)]);
        let other: StackService = builder().explain(explain).build().unwrap().layer(other);
        let fallback = FallbackLayer::to("other region", other, E2bClassify);
        let call = explanation(explaining(builder().fallback(fallback), http), list()).await;
        let text = call.to_string();
        assert!(text.contains("attempt 3 failed (503) after 0.1 s, "), "{text}");
        assert!(text.ends_with("succeeded in 0.2 s"), "{text}");
        assert_eq!(call.outcome(), Outcome::Success);
        assert_eq!(call.stages().iter().map(|stage| stage.took).sum::<Duration>(), call.total());
    }
}
