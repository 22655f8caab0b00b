//! A request that is its own request info, a paced gate, and a counter of polls.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use sandtower_core::{
    BoxError, Change, Classify, ClassifyResponse, Completion, Deferred, Gate, HasInfo, No, Now,
    Reason, Rejection, RequestInfo, Subscriber, Subscribers, Tick, Verdict, verdict_of_error,
};

/// The request is its own request info.
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

/// A gate that admits one attempt per interval, and opens and closes as the test demands.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    state: Mutex<PaceState>,
    subscribers: Arc<Subscribers>,
}

#[derive(Debug, Default)]
struct PaceState {
    next: Tick,
    shut: bool,
    turned_away: bool,
    acquired: u32,
    not_sent: u32,
    recorded: u32,
}

impl Pace {
    pub(crate) fn new(interval: Duration) -> Arc<Self> {
        Arc::new(Self { interval, state: Mutex::default(), subscribers: Arc::default() })
    }

    pub(crate) fn shut(&self) {
        self.state.lock().unwrap().shut = true;
        self.subscribers.notify(Change::Closed);
    }

    /// Acquired, not sent, recorded.
    pub(crate) fn counts(&self) -> (u32, u32, u32) {
        let state = self.state.lock().unwrap();
        (state.acquired, state.not_sent, state.recorded)
    }
}

fn rejection() -> Rejection {
    Rejection::new("pace", "test", Reason::ForcedOpen)
}

impl Gate for Pace {
    type Permit = ();

    fn check(&self, _: Option<&RequestInfo>, _: &Now) -> Option<No> {
        let shut = self.state.lock().unwrap().shut;
        shut.then(|| No::Closed { until: None, why: rejection() })
    }

    fn try_acquire(&self, _: &RequestInfo, now: &Now, _: &mut Deferred) -> Result<(), No> {
        let mut state = self.state.lock().unwrap();
        if state.shut {
            return Err(No::Closed { until: None, why: rejection() });
        }
        let next = state.next;
        if now.tick() < next {
            state.turned_away = true;
            return Err(No::Wait { earliest: next, look_again: next, why: rejection() });
        }
        state.next = now.tick() + self.interval;
        state.acquired += 1;
        Ok(())
    }

    fn record(
        &self,
        _: &RequestInfo,
        (): (),
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<()> {
        let mut state = self.state.lock().unwrap();
        if done.was_sent() {
            state.recorded += 1;
            return None;
        }
        state.not_sent += 1;
        state.next = Tick::ZERO;
        if std::mem::take(&mut state.turned_away) {
            later.notify(&self.subscribers, Change::Opened);
        }
        None
    }

    fn not_ready(&self, _: &Verdict, _: &Now, _: &mut Deferred) {}

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.subscribers.add(subscriber);
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
