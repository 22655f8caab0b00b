//! A service that admits one call at a time and queues the others, with or without a bug.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use sandtower_testkit::{BoxError, Mock};
use tower::{Service, ServiceExt};

/// A request with the age of its call.
pub(super) type Request = Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// A call that joins before the one that was woken is not woken, though it is next.
    JoinsUnseen,
    /// When the call that was woken leaves, the next is not woken.
    LeavesUnseen,
    /// The next call in the queue is awaited, polled or not.
    GrantsForEver,
    /// A call that was never sent releases its capacity and wakes no waiter.
    FreesUnseen,
}

/// The state that several services can share.
#[derive(Clone)]
pub(super) struct Room {
    fault: Fault,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    taken: bool,
    tickets: u64,
    /// By arrival, oldest first; the arrival is computed from the age and a time long ago.
    queue: BTreeMap<(Duration, u64), Waker>,
}

impl Room {
    pub(super) fn new(fault: Fault) -> Self {
        Self { fault, state: Arc::default() }
    }

    pub(super) fn before(&self, inner: Mock<Request, u64>) -> Queued {
        Queued { inner, room: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free(&self, sent: bool) {
        self.lock().taken = false;
        if sent || self.fault != Fault::FreesUnseen {
            self.wake();
        }
    }

    fn wake(&self) {
        let state = self.lock();
        let woken = match self.fault {
            Fault::None | Fault::FreesUnseen => usize::MAX,
            Fault::JoinsUnseen | Fault::LeavesUnseen | Fault::GrantsForEver => 1,
        };
        let wakers: Vec<_> = state.queue.values().take(woken).cloned().collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[derive(Clone)]
pub(super) struct Queued {
    inner: Mock<Request, u64>,
    room: Room,
}

impl Service<Request> for Queued {
    type Response = u64;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<u64, BoxError>>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (room, mut inner) = (self.room.clone(), self.inner.clone());
        Box::pin(async move {
            let mut turn = Turn { room: room.clone(), place: None, age: request };
            poll_fn(|cx| turn.poll(cx)).await;
            let mut slot = Slot { room, sent: false };
            let inner = inner.ready().await?;
            slot.sent = true;
            inner.call(request).await
        })
    }
}

/// A call in the queue.
struct Turn {
    room: Room,
    place: Option<(Duration, u64)>,
    age: Duration,
}

impl Turn {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.room.lock();
        let joins = self.place.is_none();
        let place = *self.place.get_or_insert_with(|| {
            state.tickets += 1;
            (Duration::from_secs(1_000_000) - self.age, state.tickets)
        });
        let was_empty = state.queue.is_empty();
        state.queue.insert(place, cx.waker().clone());
        let is_next = state.queue.keys().next() == Some(&place);
        let may_go = match self.room.fault {
            Fault::None | Fault::FreesUnseen => true,
            Fault::JoinsUnseen if joins => was_empty,
            Fault::JoinsUnseen | Fault::LeavesUnseen | Fault::GrantsForEver => is_next,
        };
        if state.taken || !may_go {
            return Poll::Pending;
        }
        state.taken = true;
        state.queue.remove(&place);
        self.place = None;
        Poll::Ready(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut state = self.room.lock();
        state.queue.remove(&place);
        let free = !state.taken;
        drop(state);
        if free && self.room.fault != Fault::LeavesUnseen {
            self.room.wake();
        }
    }
}

/// The call that may continue.
struct Slot {
    room: Room,
    sent: bool,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.room.free(self.sent);
    }
}
