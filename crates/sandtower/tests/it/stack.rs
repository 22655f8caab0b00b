//! The whole stack as one service, with and without its components.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers fail a test by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use sandtower::admission::{CallState, Progress};
use sandtower::core::{BoxError, Seed, Tick};
use sandtower::e2b::{Config, E2bClassify, NewSandbox, Sandbox, Timeouts, operation as op};
use sandtower::fallback::{Failed, FallbackLayer};
use sandtower::http::Explain;
use sandtower::stack::{Component, Plan, Preset, Stack, StackConfig};
use sandtower::{E2b, Message};
use sandtower_testkit::{Exchange, Mock, Reply, Scenario};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

fn config() -> Config {
    Config::new("e2b_0123").unwrap().seed(Seed::fixed(1))
}

/// Requests that list sandboxes; responses that carry a number.
fn listing() -> Exchange<Request<Full<Bytes>>, Response<Full<Bytes>>> {
    let request = |_| {
        let list = Request::get("https://api.e2b.app/v2/sandboxes");
        list.body(Full::default()).expect("a request")
    };
    let response = |number: u64| Response::new(Full::from(number.to_string()));
    Exchange::new(request, response)
}

fn keeps_the_contract(make: impl Fn() -> Stack + 'static) {
    listing()
        .contract(move |http| make().layer(http), |_| 0)
        .skip(Scenario::ResponsesPassThrough, "responses are classified by status alone here")
        .run();
}

#[test]
fn the_whole_stack_keeps_the_tower_contract() {
    keeps_the_contract(|| Stack::seeded(config(), Plan::Pro, Seed::fixed(1)));
}

#[test]
fn without_any_component_it_keeps_the_tower_contract() {
    for &component in Component::ALL {
        keeps_the_contract(move || {
            let stack = Stack::builder(config()).default_template("base").disable(component);
            stack.seed(Seed::fixed(1)).build().expect("a stack without a component")
        });
    }
    keeps_the_contract(|| {
        let stack = Stack::builder(config()).seed(Seed::fixed(1));
        let bare = Component::ALL.iter().fold(stack, |stack, component| stack.disable(*component));
        bare.build().expect("a stack without components")
    });
}

#[test]
fn a_stack_that_explains_and_traces_keeps_the_tower_contract() {
    keeps_the_contract(|| {
        let stack = Stack::builder(config()).seed(Seed::fixed(1)).explain(Explain::new());
        stack.traces(|traces| traces).build().expect("a stack")
    });
}

#[test]
fn all_presets_and_plans_can_be_built() {
    for preset in [Preset::Recommended, Preset::Classic] {
        for plan in [Plan::Hobby, Plan::Pro] {
            let stack = Stack::builder(config()).preset(preset).plan(plan).build();
            assert!(stack.is_ok(), "{preset:?} {plan:?}: {stack:?}");
        }
    }
}

#[test]
fn an_invalid_setting_is_rejected_by_its_component_with_what_would_be_valid() {
    let rejected = |builder: sandtower::stack::Builder| builder.build().unwrap_err().to_string();
    let builder = || Stack::builder(config());
    assert_eq!(
        rejected(builder().circuit_breaker(|breaker| breaker.probes(0))),
        "circuit_breaker: `probes` must be at least 1: with 0 an open breaker never closes"
    );
    assert_eq!(
        rejected(builder().health_check(|check| check.tries(0))),
        "health_check: `tries` must be at least 1"
    );
    assert_eq!(
        rejected(builder().monitor(|monitor| monitor.every(Duration::ZERO))),
        "monitor: `every` must be greater than zero"
    );
    assert_eq!(
        rejected(builder().rate_limit(|limit| limit.limit_each(0))),
        "rate_limit: a limit is 0, which lets nothing through: it must be at least 1, or left out"
    );
    assert_eq!(
        rejected(builder().admission(|room| room.concurrency_for(op::SANDBOX_CREATE, 0))),
        "admission: the concurrency for sandbox_create is 0, so no call could be sent; \
         it must be at least 1"
    );
}

/// Responds to everything with `status`.
fn always(
    status: StatusCode,
) -> impl tower::Service<
    Request<Full<Bytes>>,
    Response = Response<Full<Bytes>>,
    Error = BoxError,
    Future: Send,
> + Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |_: Request<Full<Bytes>>| async move {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        Ok(response)
    })
}

#[tokio::test(start_paused = true)]
async fn a_disabled_component_does_nothing() {
    let retried = async |stack: &Stack| {
        let client = stack.client(always(StatusCode::SERVICE_UNAVAILABLE));
        assert!(client.list(&Default::default()).await.is_err());
        stack.handles().snapshot().retry.retries
    };
    let whole = Stack::builder(config()).build().unwrap();
    assert_eq!(retried(&whole).await, 3);
    let without = Stack::builder(config()).disable(Component::Retry).build().unwrap();
    assert_eq!(retried(&without).await, 0);
    assert_eq!(without.handles().snapshot().disabled, [Component::Retry]);
}

#[tokio::test(start_paused = true)]
async fn timeouts_default_to_those_of_the_client() {
    let given_up_after = async |builder: sandtower::stack::Builder| {
        let (slow, _handle) = Mock::new(|_: Request<Full<Bytes>>, _| {
            Reply::ok(Response::new(Full::<Bytes>::default())).after(Duration::from_secs(60))
        });
        let stack = builder.disable(Component::Retry).build().unwrap();
        let began = Tick::now();
        let error = E2b::new(&stack, slow).health().await.unwrap_err();
        assert!(sandtower::core::find::<sandtower::timeout::Elapsed>(&error).is_some());
        (
            Tick::now().since(began),
            stack.config().operation_timeouts().attempt_of(op::HEALTH).unwrap(),
        )
    };
    let seconds = Duration::from_secs;
    let own = || config().timeouts(Timeouts::default().attempt(op::HEALTH, seconds(2)));
    let other = Stack::builder(own()).timeouts(move |all| all.attempt(op::HEALTH, seconds(3)));
    assert_eq!(given_up_after(Stack::builder(config())).await, (seconds(5), seconds(5)));
    assert_eq!(given_up_after(Stack::builder(own())).await, (seconds(2), seconds(2)));
    assert_eq!(given_up_after(other).await, (seconds(3), seconds(3)));
}

/// Responds to everything with a 429 that has this body, and counts.
fn rejecting(
    body: &'static str,
    requests_seen: &Arc<AtomicU32>,
) -> Mock<Request<Full<Bytes>>, Response<Full<Bytes>>> {
    let requests_seen = Arc::clone(requests_seen);
    let response = move |_, _| {
        requests_seen.fetch_add(1, SeqCst);
        let response = Response::builder().status(StatusCode::TOO_MANY_REQUESTS);
        let response = response.body(Full::from(body)).expect("a response");
        Reply::ok(response).after(Duration::from_millis(10))
    };
    Mock::new(response).0
}

/// Calls that return to a queue without a gate that holds them would be sent again at once, eleven times.
#[tokio::test(start_paused = true)]
async fn without_a_gate_that_holds_them_calls_are_not_sent_again_at_once() {
    let slots = r#"{"code":429,"message":"you have reached the maximum number of concurrent E2B sandboxes (20)"}"#;
    let rate = r#"{"code":429,"message":"Rate limit exceeded"}"#;
    let builder = || Stack::builder(config());
    let shadow = builder().rate_limit(|limit| limit.shadow(true));
    for (builder, said, requests) in [
        (builder().disable(Component::Quota), slots, 1),
        (builder().disable(Component::RateLimit), rate, 4),
        (shadow, rate, 4),
    ] {
        let requests_seen = Arc::new(AtomicU32::new(0));
        let client = builder.build().unwrap().client(rejecting(said, &requests_seen));
        let start = Tick::now();
        assert!(client.create(&NewSandbox::new("base")).await.is_err());
        assert_eq!(requests_seen.load(SeqCst), requests, "{said}");
        let took = Tick::now().since(start);
        assert_eq!(took > Duration::from_millis(200), requests > 1, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_in_shadow_mode_holds_no_creation_and_has_throttled_ones_sleep() {
    let rate = r#"{"code":429,"message":"Rate limit exceeded"}"#;
    let stack = Stack::builder(config()).build().unwrap();
    let limit = &stack.handles().rate_limit;
    limit.set_shadow(true);
    let requests = Arc::new(AtomicU32::new(0));
    let client = stack.client(rejecting(rate, &requests));
    let start = Tick::now();
    let once = async || drop(client.create(&NewSandbox::new("base")).await.unwrap_err());
    tokio::join!(once(), once());
    assert_eq!(requests.load(SeqCst), 8, "four attempts each, and no return that nothing holds");
    assert!(Tick::now().since(start) > Duration::from_secs(3), "after 1, 2 and 4 s");
    let create = limit.snapshot().by_operation[0];
    assert!(create.would_reject > 0 && !create.enforced, "{create:?}");
    let snapshot = stack.handles().snapshot();
    assert_eq!(snapshot.retry.returns, 0);
}

#[tokio::test(start_paused = true)]
async fn breakers_in_shadow_mode_reject_and_hold_no_call_of_an_outage() {
    let file =
        "[circuit_breaker]\nshadow = true\n[admission]\nhold_through_outage = ['interactive']";
    let file = StackConfig::read(toml::Deserializer::parse(file).unwrap()).unwrap();
    let builder = Stack::builder(config()).configure(file).unwrap().disable(Component::Retry);
    let stack = builder.build().unwrap();
    let client = stack.client(always(StatusCode::SERVICE_UNAVAILABLE));
    let start = Tick::now();
    for _ in 0..100 {
        let error = client.list(&Default::default()).await.unwrap_err();
        assert!(sandtower::core::find::<sandtower::core::Rejection>(&error).is_none(), "{error}");
        tokio::time::advance(Duration::from_millis(200)).await;
    }
    assert!(Tick::now().since(start) < Duration::from_secs(21), "none was held");
    let breaker = stack.handles().control_plane_breaker.snapshot();
    assert!(breaker.shadow && breaker.counters.trips > 0);
    let counters = breaker.counters;
    assert_eq!(counters.rejected, 0);
    assert!(counters.would_reject > 50, "{counters:?}");
}

#[tokio::test(start_paused = true)]
async fn a_disabled_breaker_never_opens() {
    let opened = async |stack: &Stack| {
        for _ in 0..20 {
            let client = stack.client(always(StatusCode::SERVICE_UNAVAILABLE));
            assert!(client.list(&Default::default()).await.is_err());
        }
        stack.handles().control_plane_breaker.snapshot().counters.trips
    };
    let whole = Stack::builder(config()).build().unwrap();
    assert!(opened(&whole).await > 0);
    let without = Stack::builder(config()).disable(Component::CircuitBreaker).build().unwrap();
    assert_eq!(opened(&without).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_wraps_all_attempts() {
    let fallback = FallbackLayer::respond(
        "no list",
        |failed: &Failed<'_, _>| {
            failed.result.is_err().then(|| unreachable!("the service responds"))
        },
        E2bClassify,
    );
    let stack = Stack::builder(config()).fallback(fallback).build().unwrap();
    let client = stack.client(always(StatusCode::SERVICE_UNAVAILABLE));
    assert!(client.list(&Default::default()).await.is_err());
    assert_eq!(stack.handles().snapshot().retry.retries, 3);
}

#[tokio::test(start_paused = true)]
async fn its_layers_stack_in_any_order() {
    let parts = Stack::builder(config()).build().unwrap().into_parts();
    let service = ServiceBuilder::new()
        .layer(parts.deadline)
        .option_layer(parts.health_check)
        .layer(parts.timeout)
        .layer(parts.admission)
        .option_layer(parts.retry)
        .layer(parts.tracking)
        .layer(parts.interpret)
        .service(always(StatusCode::OK));
    let request = Request::get("https://api.e2b.app/health").body(Full::default()).unwrap();
    assert_eq!(service.oneshot(request).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_drained_client_rejects_calls() {
    let stack = Stack::builder(config()).build().unwrap();
    let e2b = E2b::new(&stack, always(StatusCode::OK));
    e2b.health().await.unwrap();

    e2b.drain().await.unwrap();

    let error = e2b.health().await.unwrap_err();
    let message = Message::from(&error).to_string();
    assert_eq!(message, "This service is shutting down. Try again later.");
    assert!(e2b.snapshot().admission.draining);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_reports_its_progress() {
    let (slow, _handle) = Mock::new(|_: Request<Full<Bytes>>, _| {
        Reply::ok(Response::new(Full::<Bytes>::default())).after(Duration::from_secs(2))
    });
    let stack = Stack::builder(config()).admission(|room| room.concurrency(1)).build().unwrap();
    let e2b = E2b::new(&stack, slow);
    let first = e2b.clone();
    let first = tokio::spawn(async move { first.health().await });
    tokio::task::yield_now().await;
    let progress = Progress::new();
    let watched = e2b.watched(progress.clone());
    let second = tokio::spawn(async move { watched.health().await });
    tokio::task::yield_now().await;

    let CallState::Queued(standing) = progress.snapshot() else { panic!("{progress:?}") };

    assert!(Message::from(&standing).as_str().starts_with("You are next in the queue"));
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert!(matches!(progress.snapshot(), CallState::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_stack_is_a_layer_among_others() {
    let stack = Stack::builder(config()).build().unwrap();
    let service = ServiceBuilder::new().layer(stack).service(always(StatusCode::OK));
    let request = Request::get("https://api.e2b.app/health").body(Full::default()).unwrap();
    assert_eq!(service.oneshot(request).await.unwrap().status(), StatusCode::OK);
}

/// The control plane is down; sandboxes respond.
#[tokio::test(start_paused = true)]
async fn sandboxes_are_usable_while_the_control_plane_is_down() {
    let service = service_fn(async |request: Request<Full<Bytes>>| {
        let is_sandbox = request.headers().contains_key("e2b-sandbox-id");
        let status = if is_sandbox { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
        let response = Response::builder().status(status).body(Full::from("content"));
        Ok::<_, std::io::Error>(response.expect("a response"))
    });
    let stack = Stack::builder(config()).build().unwrap();
    let client = stack.client(service);
    for _ in 0..20 {
        assert!(client.create(&NewSandbox::new("base")).await.is_err());
    }
    let handles = stack.handles();
    assert_eq!(handles.control_plane_breaker.snapshot().state.label(), "open");
    let sandbox = Sandbox::new("i0abc".parse().unwrap(), None);
    assert_eq!(client.read_file(&sandbox, "a").await.unwrap(), "content");
    assert_eq!(handles.data_plane_breaker.snapshot().state.label(), "closed");

    handles.control_plane_breaker.reset();
    handles.data_plane_breaker.force_open();
    let rejected = client.read_file(&sandbox, "a").await.unwrap_err();
    let error = rejected.rejection().unwrap().to_string();
    assert!(error.starts_with("circuit breaker `E2B sandbox proxy` is"), "{error}");
    let rejected = client.create(&NewSandbox::new("base")).await.unwrap_err();
    assert!(rejected.rejection().is_none(), "{rejected}");
    let snapshot = serde_json::to_value(handles.snapshot()).unwrap();
    assert_eq!(snapshot["control_plane_breaker"]["name"], "E2B");
    assert_eq!(snapshot["data_plane_breaker"]["name"], "E2B sandbox proxy");
}
