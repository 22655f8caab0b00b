//! Services that break the contract, each in one way.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use sandtower_testkit::{BoxError, Instance, Mock};
use tower::Service;

type BoxFuture = Pin<Box<dyn Future<Output = Result<u64, BoxError>>>>;

/// Calls a clone of the instance that was made ready.
#[derive(Clone)]
pub(super) struct CallsAFreshClone<S>(pub(super) S);

impl<S: Service<u64> + Clone> Service<u64> for CallsAFreshClone<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: u64) -> S::Future {
        self.0.clone().call(request)
    }
}

/// Implements a service whose readiness is the inner one's.
macro_rules! service {
    ($name:ty, |$service:ident, $request:ident| $call:expr) => {
        impl Service<u64> for $name {
            type Response = u64;
            type Error = BoxError;
            type Future = BoxFuture;

            fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
                self.0.poll_ready(cx)
            }

            fn call(&mut self, $request: u64) -> BoxFuture {
                let $service = self;
                Box::pin($call)
            }
        }
    };
}

/// Sends the request again without polling readiness again.
#[derive(Clone)]
pub(super) struct CallsTwice(pub(super) Mock);

service!(CallsTwice, |service, request| {
    drop(service.0.call(request));
    service.0.call(request)
});

/// Leaves the call to a task, which continues when no caller waits for it any more.
#[derive(Clone)]
pub(super) struct KeepsCalls(pub(super) Mock);

service!(KeepsCalls, |service, request| {
    let call = tokio::spawn(service.0.call(request));
    async { call.await? }
});

/// Polls itself until there is a result.
#[derive(Clone)]
pub(super) struct Spins(pub(super) Mock);

service!(Spins, |service, request| {
    let mut call = service.0.call(request);
    poll_fn(move |cx| {
        cx.waker().wake_by_ref();
        Pin::new(&mut call).poll(cx)
    })
});

/// Replaces every error by its own.
#[derive(Clone)]
pub(super) struct HidesErrors(pub(super) Mock);

service!(HidesErrors, |service, request| {
    let call = service.0.call(request);
    async { call.await.map_err(|_| "sorry".into()) }
});

/// Forgets its inner service, and the reservation with it.
#[derive(Clone)]
pub(super) struct LeaksWhatWasReady {
    inner: Option<Mock>,
    ready: bool,
}

impl LeaksWhatWasReady {
    pub(super) fn new(inner: Mock) -> Self {
        Self { inner: Some(inner), ready: false }
    }
}

impl Service<u64> for LeaksWhatWasReady {
    type Response = u64;
    type Error = BoxError;
    type Future = BoxFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let Some(inner) = &mut self.inner else { return Poll::Pending };
        let poll = inner.poll_ready(cx);
        self.ready = poll.is_ready();
        poll
    }

    // The ready instance waits in the future for the future's first poll; a future that is never polled
    // never releases it.
    fn call(&mut self, request: u64) -> BoxFuture {
        self.ready = false;
        let fresh = self.inner.clone();
        let mut ready = Leaky(mem::replace(&mut self.inner, fresh));
        Box::pin(async move {
            tokio::task::yield_now().await;
            let inner = ready.0.take();
            match inner {
                Some(mut inner) => inner.call(request).await,
                None => Err("called twice".into()),
            }
        })
    }
}

impl Drop for LeaksWhatWasReady {
    fn drop(&mut self) {
        if self.ready {
            mem::forget(self.inner.take());
        }
    }
}

struct Leaky(Option<Mock>);

impl Drop for Leaky {
    fn drop(&mut self) {
        mem::forget(self.0.take());
    }
}

/// Stores an instance that was ready and not called where no call takes it.
#[derive(Clone)]
pub(super) struct KeepsWhatWasReady {
    inner: Mock,
    aside: Arc<Mutex<Vec<Mock>>>,
}

impl KeepsWhatWasReady {
    pub(super) fn new(inner: Mock) -> Self {
        Self { inner, aside: Arc::default() }
    }
}

impl Service<u64> for KeepsWhatWasReady {
    type Response = u64;
    type Error = BoxError;
    type Future = BoxFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: u64) -> BoxFuture {
        let fresh = self.inner.clone();
        let ready = mem::replace(&mut self.inner, fresh);
        let mut aside = Aside { ready: Some(ready), aside: Arc::clone(&self.aside) };
        Box::pin(async move {
            tokio::task::yield_now().await;
            match aside.ready.take() {
                Some(mut inner) => inner.call(request).await,
                None => Err("called twice".into()),
            }
        })
    }
}

struct Aside {
    ready: Option<Mock>,
    aside: Arc<Mutex<Vec<Mock>>>,
}

impl Drop for Aside {
    fn drop(&mut self) {
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        aside.extend(self.ready.take());
    }
}

/// A breaker that rejects in `poll_ready`.
#[derive(Clone)]
pub(super) struct ErrsAfterFailures(Mock, Arc<AtomicU32>);

impl ErrsAfterFailures {
    pub(super) fn new(inner: Mock) -> Self {
        Self(inner, Arc::default())
    }
}

impl Service<u64> for ErrsAfterFailures {
    type Response = u64;
    type Error = BoxError;
    type Future = BoxFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.1.load(Ordering::Relaxed) >= 5 {
            return Poll::Ready(Err("open".into()));
        }
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: u64) -> BoxFuture {
        let (call, failures) = (self.0.call(request), Arc::clone(&self.1));
        Box::pin(async move {
            let result = call.await;
            failures.fetch_add(u32::from(result.is_err()), Ordering::Relaxed);
            result
        })
    }
}

/// Lets one probe through at a time, and waits forever for the outcome of one that was dropped.
#[derive(Clone)]
pub(super) struct WedgesWhenCancelled(Mock, Arc<AtomicBool>);

impl WedgesWhenCancelled {
    pub(super) fn new(inner: Mock) -> Self {
        Self(inner, Arc::default())
    }
}

service!(WedgesWhenCancelled, |service, request| {
    let probing = Arc::clone(&service.1);
    let call = service.0.call(request);
    async move {
        if probing.swap(true, Ordering::Relaxed) {
            return Err("another call is the probe".into());
        }
        let result = call.await;
        probing.store(false, Ordering::Relaxed);
        result
    }
});

/// Returns `Pending` without keeping the waker.
#[derive(Clone)]
pub(super) struct ForgetsWakers(Mock, bool);

impl ForgetsWakers {
    pub(super) fn new(inner: Mock) -> Self {
        Self(inner, false)
    }
}

impl Service<u64> for ForgetsWakers {
    type Response = u64;
    type Error = BoxError;
    type Future = BoxFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if !mem::replace(&mut self.1, true) {
            return Poll::Pending;
        }
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: u64) -> BoxFuture {
        self.1 = false;
        Box::pin(self.0.call(request))
    }
}

/// Waits a moment before each call, and wakes only the first poller.
#[derive(Clone)]
pub(super) struct KeepsTheFirstWaker(pub(super) Mock);

service!(KeepsTheFirstWaker, |service, request| {
    let mut call = service.0.call(request);
    let mut first = None;
    poll_fn(move |cx| {
        let waker = first.get_or_insert_with(|| cx.waker().clone());
        Pin::new(&mut call).poll(&mut Context::from_waker(waker))
    })
});

/// Waiting calls are queued, and a wake-up goes to the first, even if that was dropped.
#[derive(Clone)]
pub(super) struct WakesTheDead {
    inner: Mock,
    line: Line,
}

type Line = Arc<Mutex<VecDeque<(Instance, Waker)>>>;

impl WakesTheDead {
    pub(super) fn new(inner: Mock) -> Self {
        Self { inner, line: Line::default() }
    }
}

impl Service<u64> for WakesTheDead {
    type Response = u64;
    type Error = BoxError;
    type Future = BoxFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let waker = Waker::from(Arc::new(WakesTheFirst(Arc::clone(&self.line))));
        let poll = self.inner.poll_ready(&mut Context::from_waker(&waker));
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.retain(|(instance, _)| *instance != self.inner.instance());
        if poll.is_pending() {
            line.push_back((self.inner.instance(), cx.waker().clone()));
        }
        poll
    }

    fn call(&mut self, request: u64) -> BoxFuture {
        Box::pin(self.inner.call(request))
    }
}

struct WakesTheFirst(Line);

impl Wake for WakesTheFirst {
    fn wake(self: Arc<Self>) {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if let Some((_, waker)) = first {
            waker.wake();
        }
    }
}
