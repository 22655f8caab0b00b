//! Drives a future as strictly as a runtime may: it is polled only when it was woken.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// The number of polls at one instant of virtual time after which a future counts as spinning.
///
/// A spinning future stops the virtual clock, so without this the test would hang.
const POLLS_AT_ONE_INSTANT: u64 = 256;

/// The result of driving a future.
#[derive(Debug)]
pub(crate) enum Drive<T> {
    /// It has finished.
    Finished(T),
    /// It has used up its polls.
    Cut,
    /// It was woken, but is not to be polled again.
    CutWhenWoken,
    /// It did not finish in time.
    Silent,
    /// It was woken repeatedly while time stood still.
    Spinning,
}

/// When to stop driving, if the future has not finished by then.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// When time is up.
    Finished,
    /// After this many polls.
    Polls(u64),
    /// After this many polls, once it is woken again.
    Woken(u64),
}

/// A future that is polled only when it was woken.
#[derive(Debug)]
pub(crate) struct Driven<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    polls: u64,
    polls_at_instant: u64,
    instant: Option<Instant>,
}

impl<F: Future> Driven<F> {
    pub(crate) fn new(future: F) -> Self {
        Self {
            future: Box::pin(future),
            bell: Arc::new(Bell { rung: AtomicBool::new(true), outer: Mutex::new(None) }),
            polls: 0,
            polls_at_instant: 0,
            instant: None,
        }
    }

    /// How often the future was polled.
    pub(crate) fn polls(&self) -> u64 {
        self.polls
    }

    pub(crate) async fn run(&mut self, until: Until, within: Duration) -> Drive<F::Output> {
        let mut time_up = pin!(sleep(within));
        poll_fn(|cx| {
            if let Poll::Ready(drive) = self.step(until, cx) {
                return Poll::Ready(drive);
            }
            time_up.as_mut().poll(cx).map(|()| Drive::Silent)
        })
        .await
    }

    /// Polls once if the future was woken.
    pub(crate) fn step(&mut self, until: Until, cx: &mut Context<'_>) -> Poll<Drive<F::Output>> {
        self.bell.attach(cx.waker());
        if matches!(until, Until::Polls(polls) if self.polls >= polls) {
            return Poll::Ready(Drive::Cut);
        }
        if !self.bell.take() {
            return Poll::Pending;
        }
        if matches!(until, Until::Woken(polls) if self.polls >= polls) {
            return Poll::Ready(Drive::CutWhenWoken);
        }
        if self.spins() {
            return Poll::Ready(Drive::Spinning);
        }
        if let Poll::Ready(output) = self.poll() {
            return Poll::Ready(Drive::Finished(output));
        }
        match until {
            Until::Polls(polls) if self.polls >= polls => Poll::Ready(Drive::Cut),
            _ => Poll::Pending,
        }
    }

    /// Polls without a wake-up, to detect a lost one.
    pub(crate) fn force(&mut self) -> Poll<F::Output> {
        self.poll()
    }

    /// Polls once with a waker that is then discarded, as when a future moves between tasks.
    pub(crate) fn poll_with_forgotten_waker(&mut self) -> Poll<F::Output> {
        let poll = self.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        // The task that it moved to polls it once, with its own waker.
        self.bell.rung.store(true, Ordering::Release);
        poll
    }

    fn poll(&mut self) -> Poll<F::Output> {
        self.polls += 1;
        let waker = Waker::from(Arc::clone(&self.bell));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn spins(&mut self) -> bool {
        let now = now();
        if self.instant.replace(now) != Some(now) {
            self.polls_at_instant = 0;
        }
        self.polls_at_instant += 1;
        self.polls_at_instant > POLLS_AT_ONE_INSTANT
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the testkit stands below the clock of the workspace, and this is the paused clock \
              of its own runtime"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Records the wake-up, and passes it on to the task that drives.
#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Bell {
    fn attach(&self, outer: &Waker) {
        *self.outer.lock().unwrap_or_else(PoisonError::into_inner) = Some(outer.clone());
    }

    fn take(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        let outer = self.outer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(outer) = outer {
            outer.wake();
        }
    }
}

/// Runs a test on a new runtime whose clock stands still while anything can run and jumps to the next timer
/// when nothing can.
pub(crate) fn on_a_paused_clock<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    match runtime.enable_time().start_paused(true).build() {
        Ok(runtime) => runtime.block_on(test),
        Err(error) => panic!("no runtime to test on: {error}"),
    }
}

/// Lets spawned tasks run as far as they can without waiting.
pub(crate) async fn settle() {
    // The virtual clock advances only when every task is idle.
    sleep(Duration::from_millis(1)).await;
}
