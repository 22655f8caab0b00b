use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::{Tick, tick::instant};

pin_project! {
    /// Waits for an instant; can be set to another one while it waits.
    ///
    /// Costs nothing until it is first polled, and never completes if set to [`Tick::MAX`]. It is
    /// polled outside of tokio's cooperative budget: a future that uses the budget up on each poll
    /// cannot keep a timeout around it from firing. Polled in another runtime than before, it goes on
    /// there, since the timer of a runtime that has ended never fires.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Sleep {
        at: Tick,
        #[pin]
        timer: Option<tokio::time::Sleep>,
        runtime: Option<tokio::runtime::Id>,
    }
}

impl Sleep {
    /// Waits for `at`.
    pub fn until(at: Tick) -> Self {
        Self { at, timer: None, runtime: None }
    }

    /// What it waits for.
    pub fn at(&self) -> Tick {
        self.at
    }

    /// Waits for `at` from now on. Poll it afterwards: the task is not woken otherwise.
    pub fn reset(self: Pin<&mut Self>, at: Tick) {
        let mut this = self.project();
        if *this.at == at {
            return;
        }
        *this.at = at;
        match (instant(at), this.timer.as_mut().as_pin_mut()) {
            (Some(instant), Some(timer)) => timer.reset(instant),
            (None, Some(_)) => this.timer.set(None),
            (_, None) => {}
        }
    }
}

impl Future for Sleep {
    type Output = ();

    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(instant) = instant(*this.at) else { return Poll::Pending };
        let runtime = Some(tokio::runtime::Handle::current().id());
        if this.timer.is_none() || *this.runtime != runtime {
            *this.runtime = runtime;
            this.timer.set(Some(tokio::time::sleep_until(instant)));
        }
        match this.timer.as_pin_mut() {
            Some(timer) => pin!(tokio::task::coop::unconstrained(timer)).poll(cx),
            None => Poll::Pending,
        }
    }
}
