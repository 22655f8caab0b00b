//! Bugs with an instance that was ready, or that failed to become ready.

use std::{
    future::{Future, poll_fn, ready},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use sandtower_testkit::{BoxError, Contract, Mock, Scenario};
use tower::Service;

use super::{assert_says, message_of, verdict};

type BoxFuture = Pin<Box<dyn Future<Output = Result<u64, BoxError>>>>;

/// A breaker that opens after five failures and rejects in `call`, with an instance that was ready.
#[derive(Clone)]
struct Rejects {
    inner: Mock,
    failures: Arc<AtomicU32>,
    gives_up: bool,
}

impl Service<u64> for Rejects {
    type Response = u64;
    type Error = BoxError;
    type Future = BoxFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: u64) -> BoxFuture {
        // One in ten is let through, so that it recovers.
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        if failures >= 5 && !failures.is_multiple_of(10) {
            if self.gives_up {
                self.inner = self.inner.clone();
            }
            return Box::pin(ready(Err("open".into())));
        }
        let (call, failures) = (self.inner.call(request), Arc::clone(&self.failures));
        Box::pin(async move {
            let result = call.await;
            if result.is_ok() {
                failures.store(0, Ordering::Relaxed);
            }
            result
        })
    }
}

fn rejects(gives_up: bool) -> Contract<u64, u64, Rejects> {
    Contract::of(move |inner| Rejects { inner, failures: Arc::default(), gives_up })
        .require(Scenario::RejectedClones)
}

#[test]
fn a_rejection_that_gives_up_its_readiness_keeps_the_contract() {
    rejects(true).run();
}

#[test]
fn a_rejected_clone_that_stays_ready_below_is_found() {
    let message = message_of(&rejects(false));
    assert_says(
        &message,
        &["rule `reservations-come-back`: inner service failing, calls rejected"],
    );
    assert_says(&message, &["(scenario `rejected-clones`)"]);
}

/// Waits in its future, always with the same instance, whatever its state.
#[derive(Clone)]
struct KeepsWhatFailed(Arc<Mutex<Mock>>);

impl Service<u64> for KeepsWhatFailed {
    type Response = u64;
    type Error = BoxError;
    type Future = BoxFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> BoxFuture {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let call = poll_fn(|cx| {
                let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
                inner.poll_ready(cx).map_ok(|()| inner.call(request))
            });
            call.await?.await
        })
    }
}

#[test]
fn an_instance_that_is_polled_after_its_readiness_failed_is_found() {
    let keeps = |inner| KeepsWhatFailed(Arc::new(Mutex::new(inner)));
    assert_says(
        &verdict(keeps),
        &[
            "rule `failed-instances-are-not-used`: an instance of the inner service was polled after",
            "(scenario `failed-readiness`)",
        ],
    );
}
