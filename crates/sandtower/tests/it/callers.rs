//! For whom requests are sent, and how urgent they are, from the first layer to the service: the first
//! attempt, retries, probes.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body_util::Full;
use sandtower::core::{
    BoxError, Operation, Patience, Priority, RequestInfo, Seed, Tenant, TenantProfile,
    TenantsConfig,
};
use sandtower::e2b::{Config, Probe, operation as op};
use sandtower::stack::{Builder, Stack, StackConfig, StackService};
use tower::{Layer, ServiceExt, service_fn};

const TENANT: HeaderName = HeaderName::from_static("x-tenant");
const PRIORITY: HeaderName = HeaderName::from_static("x-priority");

type Seen = Arc<Mutex<Vec<(Operation, Tenant, Priority)>>>;

fn builder() -> Builder {
    let jobs = TenantProfile::new("jobs").highest(Priority::Batch);
    Stack::builder(Config::new("e2b_0123").unwrap())
        .seed(Seed::fixed(1))
        .probe_by(Probe::Health)
        .tenants(TenantsConfig::default().known("jobs", &jobs))
        .tenant_header(TENANT)
        .priority_header(PRIORITY)
}

/// Over a service that fails its first request, creates sandboxes, and notes whose requests it got.
fn over(stack: &Stack) -> (StackService, Seen) {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let http = service_fn(move |request: Request<Full<Bytes>>| {
        let info = *request.extensions().get::<RequestInfo>().unwrap();
        let mut noted = noted.lock().unwrap();
        noted.push((info.operation, info.tenant, info.priority));
        let (status, body) = match (noted.len(), info.operation) {
            (1, _) => (StatusCode::SERVICE_UNAVAILABLE, ""),
            (_, op::SANDBOX_CREATE) => (
                StatusCode::CREATED,
                r#"{"sandboxID": "i0abc", "templateID": "base", "clientID": "c", "envdVersion": "0.6.13"}"#,
            ),
            _ => (StatusCode::OK, "[]"),
        };
        let response = Response::builder().status(status).body(Full::from(body));
        async move { Ok::<_, BoxError>(response?) }
    });
    (stack.layer(http), seen)
}

fn list() -> http::request::Builder {
    Request::get("https://api.e2b.app/v2/sandboxes")
}

async fn call(service: &StackService, request: Request<Full<Bytes>>) -> StatusCode {
    service.clone().oneshot(request).await.unwrap().status()
}

#[tokio::test(start_paused = true)]
async fn every_attempt_has_the_tenant_and_the_priority_of_its_headers() {
    let stack = builder().build().unwrap();
    let (service, seen) = over(&stack);
    let request = list().header(TENANT, "acme").header(PRIORITY, "background");
    assert_eq!(call(&service, request.body(Full::default()).unwrap()).await, StatusCode::OK);
    let acme = stack.handles().tenants.id("acme");
    let expected = (op::SANDBOX_LIST, acme, Priority::Background);
    assert_eq!(*seen.lock().unwrap(), [expected, expected]);
}

#[tokio::test(start_paused = true)]
async fn no_header_and_no_extension_raises_a_call_above_the_highest_priority_of_its_tenant() {
    let stack = builder().build().unwrap();
    let (service, seen) = over(&stack);
    let jobs = stack.handles().tenants.id("jobs");
    for request in [
        list().header(TENANT, "jobs").header(PRIORITY, "interactive"),
        list().header(TENANT, "jobs"),
        list().extension(jobs).extension(Priority::Interactive),
    ] {
        call(&service, request.body(Full::default()).unwrap()).await;
    }
    let own = service.clone().tenant(jobs).priority(Priority::Interactive);
    call(&own, list().body(Full::default()).unwrap()).await;
    let expected = (op::SANDBOX_LIST, jobs, Priority::Batch);
    assert_eq!(*seen.lock().unwrap(), [expected; 5]);
}

#[tokio::test(start_paused = true)]
async fn the_probe_of_a_new_sandbox_and_the_look_before_a_retry_have_those_of_the_creation() {
    let stack = builder().build().unwrap();
    let (service, seen) = over(&stack);
    let tenant = stack.handles().tenants.seen("acme", "acme");
    let service = service.tenant(tenant).priority(Priority::Batch).patience(Patience::Reject);
    let client = sandtower::e2b::Client::new(service, Config::new("e2b_0123").unwrap());
    let client = client.tracker(stack.handles().tracker.clone());
    let sandbox = client.create(&sandtower::e2b::NewSandbox::new("base")).await.unwrap();
    assert_eq!(sandbox.id().to_string(), "i0abc");
    let seen = seen.lock().unwrap().clone();
    let operations: Vec<_> = seen.iter().map(|(operation, ..)| *operation).collect();
    assert_eq!(operations.first(), Some(&op::SANDBOX_CREATE));
    assert!(operations.contains(&op::ENVD_HEALTH), "{operations:?}");
    assert!(operations.contains(&op::SANDBOX_LIST), "it looks before it retries: {operations:?}");
    for (operation, of, priority) in seen {
        assert_eq!((of, priority), (tenant, Priority::Batch), "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_names_the_headers_and_an_invalid_name_is_rejected() {
    let file = |text: &str| StackConfig::read(toml::Deserializer::parse(text).unwrap());
    let config = file("tenant_header = 'X-Team'\npriority_header = 'X-Class'").unwrap();
    let plain = Stack::builder(Config::new("e2b_0123").unwrap()).seed(Seed::fixed(1));
    let stack = plain.configure(config).unwrap().build().unwrap();
    let (service, seen) = over(&stack);
    let request = Request::builder().method(Method::GET).uri("https://api.e2b.app/v2/sandboxes");
    let request = request.header("x-team", "acme").header("x-class", "batch");
    call(&service, request.body(Full::default()).unwrap()).await;
    let (_, tenant, priority) = seen.lock().unwrap()[0];
    assert_eq!((tenant, priority), (stack.handles().tenants.id("acme"), Priority::Batch));

    let error = file("tenant_header = 'not a name'").unwrap_err().to_string();
    assert_eq!(error, "tenant_header: it must be the name of a header field");
}
