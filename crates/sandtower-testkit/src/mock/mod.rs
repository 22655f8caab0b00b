//! The inner service, which checks its callers.

mod counts;
mod handle;
mod ledger;
mod response;
mod script;

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::{task::coop, time::Sleep};
use tower_service::Service;

use self::ledger::{Ledger, counted};
pub use self::{
    counts::Counts,
    handle::Handle,
    response::ResponseFuture,
    script::{Instance, Readiness, Reply},
};
use crate::BoxError;

type ReplyScript<Req, Res> = Box<dyn FnMut(Req, u64) -> Reply<Res> + Send>;
type ReadinessScript = Box<dyn FnMut(Instance) -> Readiness + Send>;

/// An inner service with scripted replies and scripted readiness, which checks its callers.
///
/// Every instance has its own readiness. Calling an instance that was not itself polled ready, or twice for
/// one readiness, or using one whose readiness failed, panics and is recorded in the [`Handle`], so that it
/// also surfaces if a task swallowed the panic.
///
/// ```
/// use sandtower_testkit::{Reply, Mock};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), sandtower_testkit::BoxError> {
/// let (mock, handle) = Mock::new(|request: &str, call| match call {
///     0 => Reply::err("busy"),
///     _ => Reply::ok(request.len()),
/// });
///
/// assert!(mock.clone().oneshot("hello").await.is_err());
/// assert_eq!(mock.oneshot("hello").await?, 5);
/// assert_eq!(handle.counts().calls, 2);
/// # Ok(())
/// # }
/// ```
pub struct Mock<Req = u64, Res = u64> {
    shared: Arc<Shared<Req, Res>>,
    instance: Instance,
    wait: Wait,
}

/// The progress of this instance to its next readiness.
enum Wait {
    /// The script was not called yet.
    Unasked,
    /// The script, in this edition, said: after a while.
    Timed { edition: u64, sleep: Pin<Box<Sleep>> },
    /// The script, in this edition, said: not before it is replaced.
    Blocked { edition: u64 },
    /// The script, in this edition, said: not before it is replaced, and busy until then.
    Busy { edition: u64 },
    /// The script said: ready. What may be missing is a reservation.
    Passed,
}

struct Shared<Req, Res> {
    replies: Mutex<ReplyScript<Req, Res>>,
    readiness: Mutex<ReadinessScript>,
    ledger: Arc<Ledger>,
}

impl<Req, Res> Mock<Req, Res> {
    /// A service that replies by `script`, which gets the request and the number of calls before it (over all
    /// instances). All instances are ready at once until [`Handle::set_readiness`] changes it.
    pub fn new(
        script: impl FnMut(Req, u64) -> Reply<Res> + Send + 'static,
    ) -> (Self, Handle<Req, Res>) {
        let ledger = Arc::new(Ledger::default());
        let instance = ledger.enter(None);
        let shared = Arc::new(Shared {
            replies: Mutex::new(Box::new(script)),
            readiness: Mutex::new(Box::new(|_| Readiness::Ready)),
            ledger,
        });
        let mock = Self { shared: Arc::clone(&shared), instance, wait: Wait::Unasked };
        (mock, Handle::new(shared))
    }

    /// A service that responds to every call at once with a clone of `response`.
    pub fn always(response: Res) -> (Self, Handle<Req, Res>)
    where
        Res: Clone + Send + 'static,
    {
        Self::new(move |_, _| Reply::ok(response.clone()))
    }

    /// A service that gives these replies in turn.
    ///
    /// # Panics
    ///
    /// If it is called more often than there are replies.
    ///
    /// ```
    /// use sandtower_testkit::{Reply, Mock};
    ///
    /// let (_mock, _handle) = Mock::<u64, _>::in_turn([Reply::err("busy"), Reply::ok(7)]);
    /// ```
    pub fn in_turn(replies: impl IntoIterator<Item = Reply<Res>>) -> (Self, Handle<Req, Res>)
    where
        Res: Send + 'static,
    {
        let mut replies: VecDeque<_> = replies.into_iter().collect();
        Self::new(move |_, call| match replies.pop_front() {
            Some(reply) => reply,
            None => panic!("the script of the mock ends before call {call}"),
        })
    }

    /// The number and origin of this instance.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    fn poll_script(&mut self, edition: u64, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        loop {
            match &mut self.wait {
                Wait::Passed => return Poll::Ready(Ok(())),
                Wait::Timed { edition: asked, sleep } if *asked == edition => {
                    let waker = counted(&self.shared.ledger, cx.waker());
                    ready!(sleep.as_mut().poll(&mut Context::from_waker(&waker)));
                    self.wait = Wait::Passed;
                }
                Wait::Blocked { edition: asked } if *asked == edition => return Poll::Pending,
                Wait::Busy { edition: asked } if *asked == edition => return use_up_budget(cx),
                Wait::Unasked | Wait::Timed { .. } | Wait::Blocked { .. } | Wait::Busy { .. } => {
                    self.wait = match (self.shared.readiness())(self.instance) {
                        Readiness::Ready => Wait::Passed,
                        Readiness::After(delay) => {
                            let sleep = Box::pin(tokio::time::sleep(delay));
                            Wait::Timed { edition, sleep }
                        }
                        Readiness::Pending => Wait::Blocked { edition },
                        Readiness::Busy => Wait::Busy { edition },
                        Readiness::Err(error) => return Poll::Ready(Err(error)),
                    };
                }
            }
        }
    }
}

impl<Req, Res> Service<Req> for Mock<Req, Res> {
    type Response = Res;
    type Error = BoxError;
    type Future = ResponseFuture<Res>;

    /// # Panics
    ///
    /// If it failed before: an instance whose readiness failed may only be dropped.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let (ready, edition) = match self.shared.ledger.polled(self.instance, cx.waker()) {
            Ok(polled) => polled,
            Err(violation) => panic!("{violation}"),
        };
        if ready {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = ready!(self.poll_script(edition, cx)) {
            self.shared.ledger.fail(self.instance);
            return Poll::Ready(Err(error));
        }
        self.shared.ledger.reserve(self.instance).map(Ok)
    }

    /// # Panics
    ///
    /// If this instance was not polled ready since its last call.
    fn call(&mut self, request: Req) -> ResponseFuture<Res> {
        match self.shared.ledger.call(self.instance) {
            Ok((call, in_flight)) => {
                self.wait = Wait::Unasked;
                let reply = (self.shared.replies())(request, call);
                ResponseFuture::new(reply, in_flight)
            }
            Err(violation) => panic!("{violation}"),
        }
    }
}

/// Exhausts the cooperative budget of the task, and asks to be polled again.
fn use_up_budget<T>(cx: &mut Context<'_>) -> Poll<T> {
    // Without a budget, as in `unconstrained`, this would never end.
    const MORE_THAN_ANY_BUDGET: usize = 1024;
    for _ in 0..MORE_THAN_ANY_BUDGET {
        match coop::poll_proceed(cx) {
            Poll::Ready(step) => step.made_progress(),
            Poll::Pending => break,
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

impl<Req, Res> Clone for Mock<Req, Res> {
    /// Another instance, with its own readiness: it is not ready because this one is.
    fn clone(&self) -> Self {
        let instance = self.shared.ledger.enter(Some(self.instance));
        Self { shared: Arc::clone(&self.shared), instance, wait: Wait::Unasked }
    }
}

impl<Req, Res> Drop for Mock<Req, Res> {
    fn drop(&mut self) {
        self.shared.ledger.leave(self.instance);
    }
}

impl<Req, Res> fmt::Debug for Mock<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mock").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl<Req, Res> Shared<Req, Res> {
    // A script that panicked may be called again: its own state is up to the test.
    fn replies(&self) -> MutexGuard<'_, ReplyScript<Req, Res>> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readiness(&self) -> MutexGuard<'_, ReadinessScript> {
        self.readiness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
