//! The one task that looks for latecomers and kills what nobody holds.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use sandtower_core::Sleep;
use sandtower_core::Tick;
use tokio::task::JoinSet;

use super::book::{Listed, Next};
use super::creations::Shared;
use super::snapshot::GivenUp;
use crate::SandboxId;

/// The most requests of the reaper at a time.
const AT_ONCE: usize = 8;

/// What one of its requests came to.
enum Done {
    Listed(Listed, Tick),
    Killed(SandboxId, Option<bool>),
}

/// Works until there is nothing left to do. Made where it is started, so that it counts as running,
/// and as ended, even if it is never polled.
pub(super) fn reap(shared: Arc<Shared>) -> impl Future<Output = ()> + Send {
    let mut running = Running { shared, ended: false };
    async move {
        let mut requests = JoinSet::new();
        loop {
            let next = begin(&running.shared, &mut requests);
            if next == Next::Idle && requests.is_empty() {
                if running.ends() {
                    return;
                }
                continue;
            }
            let until = match next {
                Next::At(at) => at,
                _ => Tick::MAX,
            };
            if let Some(done) = something(&running.shared, &mut requests, until).await {
                account(&running.shared, done);
            }
        }
    }
}

/// Begins what is due, as far as there is room.
fn begin(shared: &Shared, requests: &mut JoinSet<Done>) -> Next {
    loop {
        // With all requests under way there is nothing before one of them is done.
        if requests.len() >= AT_ONCE {
            return Next::At(Tick::MAX);
        }
        let now = Tick::now();
        let (next, below) = {
            let mut state = shared.state();
            let Some(below) = state.below.clone() else { return Next::Idle };
            (state.book.next(now), below)
        };
        match next {
            Next::Kill(sandbox) => {
                let kill = below.kill(sandbox.clone());
                requests.spawn(async move { Done::Killed(sandbox, kill.await) });
            }
            Next::List => {
                let list = below.list(shared.config.owner_name());
                requests.spawn(async move { Done::Listed(list.await, now) });
            }
            later => return later,
        }
    }
}

/// Waits for a request, for new work, or for `until`.
async fn something(shared: &Shared, requests: &mut JoinSet<Done>, until: Tick) -> Option<Done> {
    let (mut work, mut sleep) = (pin!(shared.work.notified()), pin!(Sleep::until(until)));
    poll_fn(|cx| {
        if let Poll::Ready(Some(done)) = requests.poll_join_next(cx) {
            // A request that panicked comes again when its lease is over.
            return Poll::Ready(done.ok());
        }
        if is_ready(work.as_mut(), cx) || is_ready(sleep.as_mut(), cx) {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

fn is_ready(future: Pin<&mut impl Future>, cx: &mut Context<'_>) -> bool {
    future.poll(cx).is_ready()
}

fn account(shared: &Shared, done: Done) {
    let now = Tick::now();
    let given_up = {
        let book = &mut shared.state().book;
        match done {
            Done::Listed(listed, began) => book.listed(listed, began, now),
            Done::Killed(sandbox, Some(was_there)) => {
                book.killed(&sandbox, was_there);
                Vec::new()
            }
            Done::Killed(sandbox, None) => book.kill_failed(&sandbox, now).into_iter().collect(),
        }
    };
    shared.settled.notify_waiters();
    given_up.iter().for_each(warn);
}

fn warn(given_up: &GivenUp) {
    let GivenUp { call, sandbox } = given_up;
    tracing::warn!(
        target: "sandtower::e2b",
        call_id = call.as_deref(),
        sandbox_id = sandbox.as_deref(),
        "gave up: a sandbox that nobody holds may run until its lifetime is over"
    );
}

/// The task, as long as it is there.
struct Running {
    shared: Arc<Shared>,
    ended: bool,
}

impl Running {
    /// Whether the task may end now. From then on the next piece of work starts another.
    fn ends(&mut self) -> bool {
        let below = {
            let mut state = self.shared.state();
            if !state.book.is_idle() && state.below.is_some() {
                return false;
            }
            state.is_running = false;
            state.below.take()
        };
        drop(below);
        self.ended = true;
        true
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Another may run by now.
        if self.ended {
            return;
        }
        let (left, below) = {
            let mut state = self.shared.state();
            state.is_running = false;
            (state.book.left(), state.below.take())
        };
        drop(below);
        self.shared.settled.notify_waiters();
        if left > 0 {
            tracing::warn!(
                target: "sandtower::e2b",
                left,
                "nobody looks after sandboxes that nobody holds: there is no runtime, or it has ended"
            );
        }
    }
}
