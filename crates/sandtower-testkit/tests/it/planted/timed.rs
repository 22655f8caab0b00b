//! Bugs with timers, with runtimes that end, and with futures that completed.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use sandtower_testkit::{BoxError, Contract, Mock, Scenario};
use tokio::time::timeout;
use tower::{Layer, Service, timeout::TimeoutLayer};

use super::{assert_says, verdict};

type Call = <Mock as Service<u64>>::Future;
type BoxFuture = Pin<Box<dyn Future<Output = Result<u64, BoxError>>>>;

const LIMIT: Duration = Duration::from_millis(100);

/// A service whose futures are created by a function from the inner service's.
#[derive(Clone)]
struct Around(Mock, fn(Call) -> BoxFuture);

impl Service<u64> for Around {
    type Response = u64;
    type Error = BoxError;
    type Future = BoxFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: u64) -> BoxFuture {
        (self.1)(self.0.call(request))
    }
}

#[test]
fn a_timer_that_is_polled_outside_of_the_budget_keeps_the_contract() {
    Contract::of(|inner| Around(inner, |call| Box::pin(async { timeout(LIMIT, call).await? })))
        .require(Scenario::BusyFutures)
        .skip(Scenario::MovedCalls, "its timer belongs to the runtime it began in")
        .run();
}

#[test]
fn a_timer_that_a_busy_future_defeats_is_found() {
    // tower's own, of all things.
    assert_says(
        &verdict(|inner| TimeoutLayer::new(LIMIT).layer(inner)),
        &["rule `timers-fire`: inner service never responding, using up", "ends after 100ms"],
    );
}

#[test]
fn a_call_whose_timer_belongs_to_a_runtime_that_ended_is_found() {
    assert_says(
        &verdict(|inner| TimeoutLayer::new(LIMIT).layer(inner)),
        &["rule `no-panics`: the service panicked: A Tokio 1.x context was found, but it is being"],
    );
}

#[test]
fn a_worker_that_ends_with_its_runtime_is_found() {
    assert_says(
        &verdict(|inner| tower::buffer::BufferLayer::new(4).layer(inner)),
        &["rule `runtimes-may-end`", "after calls in a runtime that ended: no later call got"],
    );
}

/// Cleans up in a task that it spawns on drop.
struct CleansUp;

impl Drop for CleansUp {
    fn drop(&mut self) {
        drop(tokio::spawn(std::future::ready(())));
    }
}

#[test]
fn a_clean_up_that_needs_a_runtime_is_found() {
    let cleans_up = |call: Call| -> BoxFuture {
        let clean_up = CleansUp;
        Box::pin(async move {
            let _until_the_end = clean_up;
            call.await
        })
    };
    assert_says(
        &verdict(move |inner| Around(inner, cleans_up)),
        &["rule `no-panics`", "dropping a call outside of a runtime panics", "`dead-runtimes`"],
    );
}

#[test]
fn a_future_that_is_pending_after_it_completed_is_found() {
    let pends = |mut call: Call| -> BoxFuture {
        let mut done = false;
        Box::pin(poll_fn(move |cx| {
            if done {
                return Poll::Pending;
            }
            let poll = Pin::new(&mut call).poll(cx);
            done = poll.is_ready();
            poll
        }))
    };
    assert_says(
        &verdict(move |inner| Around(inner, pends)),
        &[
            "rule `finished-futures-are-not-pending`: inner service ready and responding at once",
            "(scenario `finished-futures`)",
        ],
    );
}
