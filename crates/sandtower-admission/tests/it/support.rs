//! A request that says what it asks, a gate that lets one through at a time, and polls counted.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use sandtower_core::{
    BoxError, Classify, ClassifyResponse, Clock, Completion, Gate, HasInfo, Reason, Rejection,
    RequestInfo, Subscriber, Subscribers, Take, Tick, Verdict, verdict_of_error,
};

/// What a request asks is the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Literal;

impl Classify<RequestInfo> for Literal {
    type Classifier = InfoClassifier;

    fn classify(&self, request: &RequestInfo) -> InfoClassifier {
        InfoClassifier(*request)
    }
}

pub(crate) struct InfoClassifier(RequestInfo);

impl HasInfo for InfoClassifier {
    fn info(&self) -> &RequestInfo {
        &self.0
    }
}

impl<Res> ClassifyResponse<Res> for InfoClassifier {
    fn classify(&self, result: Result<&Res, &BoxError>) -> Verdict {
        match result {
            Ok(_) => Verdict::success(),
            Err(error) => verdict_of_error(&**error).unwrap_or(Verdict::unknown()),
        }
    }
}

/// Lets one attempt through each interval; shuts and opens when the test says so.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    state: Mutex<PaceState>,
    watchers: Subscribers,
}

#[derive(Debug, Default)]
struct PaceState {
    next: Tick,
    shut: bool,
    taken: u32,
    given_back: u32,
    settled: u32,
}

impl Pace {
    pub(crate) fn new(interval: Duration) -> Arc<Self> {
        Arc::new(Self { interval, state: Mutex::default(), watchers: Subscribers::default() })
    }

    pub(crate) fn shut(&self) {
        self.state.lock().unwrap().shut = true;
        self.watchers.notify();
    }

    /// Taken, given back, settled.
    pub(crate) fn counts(&self) -> (u32, u32, u32) {
        let state = self.state.lock().unwrap();
        (state.taken, state.given_back, state.settled)
    }
}

fn rejection() -> Rejection {
    Rejection::new("pace", "test", Reason::ForcedOpen)
}

impl Gate for Pace {
    type Token = ();

    fn take(&self, _: &RequestInfo, now: Tick) -> Take<()> {
        let mut state = self.state.lock().unwrap();
        if state.shut {
            return Take::Reject(rejection());
        }
        if now < state.next {
            return Take::NotBefore(state.next, rejection());
        }
        state.next = now + self.interval;
        state.taken += 1;
        Take::Open(())
    }

    fn give_back(&self, _: &RequestInfo, (): ()) {
        let mut state = self.state.lock().unwrap();
        state.next = Tick::ZERO;
        state.given_back += 1;
    }

    fn settle(&self, _: &RequestInfo, (): (), _: &Completion) {
        self.state.lock().unwrap().settled += 1;
    }

    fn peek(&self, _: &impl Clock) -> Option<Rejection> {
        self.state.lock().unwrap().shut.then(rejection)
    }

    fn watch(&self, changed: Weak<dyn Subscriber>) {
        self.watchers.add(changed);
    }
}

/// Counts how often a future is polled.
pub(crate) struct Counted<F> {
    future: Pin<Box<F>>,
    polls: Arc<AtomicU32>,
}

pub(crate) fn counted<F: Future>(future: F) -> (Counted<F>, Arc<AtomicU32>) {
    let polls = Arc::<AtomicU32>::default();
    (Counted { future: Box::pin(future), polls: Arc::clone(&polls) }, polls)
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.future.as_mut().poll(cx)
    }
}
