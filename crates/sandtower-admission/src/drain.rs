use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::room::AdmissionControl;

/// Done when nobody is inside any more: see [`AdmissionControl::drain`]. Dropping it opens nothing again.
#[derive(Debug)]
#[must_use = "the room is being closed already, but nobody waits for it to be empty"]
pub struct Drain<G> {
    room: AdmissionControl<G>,
}

impl<G> Drain<G> {
    pub(crate) fn new(room: AdmissionControl<G>) -> Self {
        Self { room }
    }
}

impl<G> Future for Drain<G> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // First the waker, then the look: who leaves in between wakes it.
        self.room.drainers().add(cx.waker());
        if self.room.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Those who wait for a room to be empty.
#[derive(Debug, Default)]
pub(crate) struct Drainers(Mutex<Vec<Waker>>);

impl Drainers {
    fn add(&self, waker: &Waker) {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    pub(crate) fn wake(&self) {
        let wakers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().for_each(Waker::wake);
    }
}
