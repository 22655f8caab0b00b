//! Layers that keep the contract pass the probe.

use std::time::Duration;

use sandtower_testkit::{Contract, Exchange, Mock, Scenario};
use tower::{
    Layer, ServiceExt,
    buffer::BufferLayer,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer, RateLimitLayer},
    timeout::TimeoutLayer,
};

#[test]
fn identity_keeps_the_contract() {
    Contract::of(|inner| inner).run();
}

#[test]
fn a_concurrency_limit_keeps_the_contract() {
    Contract::of(|inner| ConcurrencyLimitLayer::new(1).layer(inner))
        .skip(Scenario::UnpolledGrants, SEMAPHORE)
        .skip(Scenario::DeadRuntimes, SEMAPHORE)
        .run();
    Contract::of(|inner| ConcurrencyLimitLayer::new(3).layer(inner)).run();
}

const SEMAPHORE: &str = "a permit of a semaphore belongs to its waiter, polled or not";

#[test]
fn a_shared_concurrency_limit_keeps_the_contract() {
    let shared = |first, second| {
        let limit = GlobalConcurrencyLimitLayer::new(1);
        (limit.layer(first), limit.layer(second))
    };
    Contract::of(|inner: Mock| GlobalConcurrencyLimitLayer::new(3).layer(inner))
        .shared(shared)
        .require(Scenario::SharedGates)
        .run();
}

#[test]
fn a_timeout_keeps_the_contract() {
    Contract::of(|inner| TimeoutLayer::new(Duration::from_secs(5)).layer(inner))
        .skip(Scenario::BusyFutures, "its timer is polled within the cooperative budget")
        .skip(Scenario::MovedCalls, "its timer belongs to the runtime it began in")
        .run();
}

#[test]
fn a_mapped_response_keeps_the_contract() {
    Contract::of(|inner| inner.map_response(|response: u64| response)).run();
}

#[test]
fn a_service_that_cannot_be_cloned_keeps_the_contract() {
    let layer = || RateLimitLayer::new(2, Duration::from_secs(1));
    Contract::of_uncloned(move |inner| layer().layer(inner))
        .skip(Scenario::DeadRuntimes, "its timer belongs to the runtime it began in")
        .run();
}

#[test]
fn a_boxed_service_over_clones_keeps_the_contract() {
    Contract::of(|inner| inner.boxed_clone()).run();
}

#[test]
fn a_buffer_keeps_the_contract_but_for_the_instance_its_worker_keeps_ready() {
    Contract::of(|inner| BufferLayer::new(4).layer(inner))
        .skip(Scenario::CancelledCallsGiveBack, "the worker keeps what it made ready")
        .skip(Scenario::FailedReadiness, "the worker ends with its instance")
        .skip(Scenario::DeadRuntimes, "the worker ends with its runtime")
        .skip(Scenario::MovedCalls, "the worker ends with its runtime")
        .run();
}

#[test]
fn other_requests_and_responses_than_numbers_can_be_probed() {
    Exchange::new(http::Request::new, http::Response::new)
        .contract(|inner| inner, |response: http::Response<u64>| response.into_body())
        .run();
    Exchange::new(http::Request::new, http::Response::new)
        .contract_uncloned(|inner| inner, |response: http::Response<u64>| response.into_body())
        .run();
}
