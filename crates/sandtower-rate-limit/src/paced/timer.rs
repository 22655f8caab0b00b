//! The one timer of a line.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use sandtower_core::Sleep;
use sandtower_core::Tick;

/// Wakes whoever is next, when it is time. Who is next may change as often as it likes: nobody is
/// woken by that.
#[derive(Debug)]
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    bell: Arc<Bell>,
}

/// What the timer rings. It passes it on to who is next, and never under a lock.
#[derive(Debug, Default)]
pub(crate) struct Bell(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rung: bool,
    next: Option<Waker>,
}

impl Timer {
    pub(crate) fn new() -> Self {
        Self { sleep: Box::pin(Sleep::until(Tick::MAX)), bell: Arc::default() }
    }

    /// Rings at `at` from now on. Nobody is woken before the bell is [aimed](Bell::aim), which is to
    /// happen outside of all locks.
    ///
    /// # Panics
    ///
    /// The first time: outside a tokio runtime with its timer enabled.
    pub(crate) fn set(&mut self, at: Tick) -> Arc<Bell> {
        *self.bell.lock() = State::default();
        self.sleep.as_mut().reset(at);
        let waker = Waker::from(Arc::clone(&self.bell));
        if let Poll::Ready(()) = self.sleep.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.bell.lock().rung = true;
        }
        Arc::clone(&self.bell)
    }
}

impl Bell {
    /// Wakes `next` when it rings; now, if it has rung since it was set.
    pub(crate) fn aim(&self, next: Waker) {
        let rung = {
            let mut state = self.lock();
            if state.rung { Some(next) } else { state.next.replace(next).and(None) }
        };
        if let Some(next) = rung {
            next.wake();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let next = {
            let mut state = self.lock();
            state.rung = true;
            state.next.take()
        };
        if let Some(next) = next {
            next.wake();
        }
    }
}
