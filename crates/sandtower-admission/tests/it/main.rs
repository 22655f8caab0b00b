//! Admission control, on a paused clock.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "test helpers fail the test by a panic"
)]

mod as_gate;
mod gates;
mod known_bugs;
mod order;
mod outage;
mod quota;
mod standing;
mod support;
mod tenants;
mod total;
mod turns;

use std::future::ready;
use std::task::{Context, Waker};

use sandtower_admission::{AdmissionControl, AdmissionLayer, Config, ConfigError};
use sandtower_core::Operation;
use sandtower_testkit::{Contract, CountingAllocator, Mock, allocations, cancel_at_every_poll};
use tower::{Layer, Service, service_fn};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

#[test]
fn keeps_the_tower_contract() {
    let contract = |concurrency| {
        Contract::of(move |inner| {
            let config = Config::new("test").concurrency(concurrency);
            AdmissionLayer::new(config).unwrap().layer(inner)
        })
        .run();
    };
    contract(1);
    contract(64);
}

#[test]
fn a_call_that_finds_a_slot_allocates_nothing() {
    let echo = service_fn(|n: u64| ready(Ok::<_, std::io::Error>(n)));
    let mut service = AdmissionLayer::new(Config::new("test")).unwrap().layer(echo);
    let mut call = || {
        allocations(|| {
            let mut task = Context::from_waker(Waker::noop());
            assert!(service.poll_ready(&mut task).is_ready());
            let mut future = std::pin::pin!(service.call(1));
            assert!(future.as_mut().poll(&mut task).is_ready());
        })
    };
    // The queue of an operation is created at its first call.
    call();
    assert_eq!(call(), 0);
}

#[test]
fn a_limit_of_zero_is_rejected_and_the_error_says_what_would_be_valid() {
    let nothing = AdmissionControl::new(Config::new("test").concurrency(0)).unwrap_err();
    assert!(nothing.to_string().contains("must be at least 1"), "{nothing}");
    let create = Operation::new(1, "sandbox_create");
    let error = AdmissionControl::new(Config::new("test").concurrency_for(create, 0)).unwrap_err();
    assert_eq!(error, ConfigError::NoConcurrency { operation: "sandbox_create".to_owned() });
}

#[test]
fn a_call_dropped_at_any_point_releases_its_place_and_its_slot() {
    use sandtower_testkit::Answer;
    use std::time::Duration;

    cancel_at_every_poll(
        || {
            let (mock, handle) =
                Mock::<u64, u64>::new(|_, _| Answer::ok(1).after(Duration::from_secs(1)));
            let layer = AdmissionLayer::new(Config::new("test").concurrency(1)).unwrap();
            let control = layer.control().clone();
            let mut service = layer.layer(mock);
            let (first, second) = (service.call(1), service.call(2));
            (async move { tokio::join!(second, first) }, (control, handle))
        },
        async |cancelled, (control, handle)| {
            let queue = control.snapshot().queues[0];
            assert_eq!((queue.in_flight, queue.waiting), (0, 0), "{cancelled}");
            assert_eq!(handle.counts().reservations_held, 0, "{cancelled}");
        },
    );
}
