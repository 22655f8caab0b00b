use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use sandtower_core::Deferred;

use crate::control::AdmissionControl;

/// Resolves once no call is in flight: see [`AdmissionControl::drain`]. Dropping it does not cancel the
/// shutdown.
#[derive(Debug)]
#[must_use = "shutdown proceeds anyway, but calls in flight are not awaited"]
pub struct Drain<G> {
    control: AdmissionControl<G>,
}

impl<G> Drain<G> {
    pub(crate) fn new(control: AdmissionControl<G>) -> Self {
        Self { control }
    }
}

impl<G> Future for Drain<G> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Registers the waker before checking, so that a call that ends in between wakes it.
        self.control.drainers().add(cx.waker());
        if self.control.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Tasks that wait for the last call to end.
#[derive(Debug, Default)]
pub(crate) struct Drainers(Mutex<Vec<Waker>>);

impl Drainers {
    fn add(&self, waker: &Waker) {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    pub(crate) fn wake(&self, later: &mut Deferred) {
        let wakers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().for_each(|waker| later.wake(waker));
    }
}
