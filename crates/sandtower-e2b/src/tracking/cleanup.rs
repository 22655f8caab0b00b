//! The task that finds late sandboxes and kills orphaned ones.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sandtower_core::Sleep;
use sandtower_core::Tick;
use tokio::task::JoinSet;
use tracing::{Instrument, Span};

use super::ledger::{Listed, Next};
use super::snapshot::Abandoned;
use super::tracker::{Shared, Task};
use crate::SandboxId;

/// A listing with many pages may take longer; another task then repeats it.
const LONGEST_REQUEST: Duration = Duration::from_secs(180);
/// The most concurrent requests of the cleanup.
const AT_ONCE: usize = 8;

/// The outcome of a request.
enum Done {
    Listed(Listed, Tick),
    Killed(SandboxId, Option<bool>),
}

/// Works until nothing is left to do, or another task has taken over. Created where it is spawned, so
/// that it counts as running, and as ended, even if it is never polled.
pub(super) fn clean_up(shared: Arc<Shared>, number: u64) -> impl Future<Output = ()> + Send {
    let mut running = Running { shared, number, ended: false };
    async move {
        let mut requests = JoinSet::new();
        loop {
            let next = match begin(&running, &mut requests) {
                None => return,
                Some(Next::Idle) if requests.is_empty() => {
                    if running.ends() {
                        return;
                    }
                    continue;
                }
                Some(next) => next,
            };
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

/// Starts the requests that are due, up to the limit; `None`: another task has taken over.
fn begin(running: &Running, requests: &mut JoinSet<Done>) -> Option<Next> {
    loop {
        let now = Tick::now();
        let (next, below, origin) = {
            let mut state = running.shared.state();
            let task = state.task.filter(|task| task.number == running.number)?;
            // At the limit, nothing can start before a request ends.
            let next = match requests.len() < AT_ONCE {
                true => state.ledger.next(now),
                false => Next::At(Tick::MAX),
            };
            let looks_again = match next {
                Next::At(at) => at.min(now + LONGEST_REQUEST),
                _ => now + LONGEST_REQUEST,
            };
            state.task = Some(Task { looks_again, ..task });
            let origin = match &next {
                Next::Kill(sandbox) => state.ledger.origin(sandbox),
                _ => None,
            };
            (next, state.below.clone(), origin)
        };
        let Some(below) = below else { return Some(Next::Idle) };
        match next {
            Next::Kill(sandbox) => {
                let (span, trace) = match &origin {
                    Some(origin) => (origin.span.clone(), origin.trace),
                    None => (Span::none(), None),
                };
                let kill = below.kill(sandbox.clone(), trace);
                let kill = async move { Done::Killed(sandbox, kill.await) };
                requests.spawn(kill.instrument(span));
            }
            Next::List => {
                let list = below.list(running.shared.config.owner_name());
                requests.spawn(async move { Done::Listed(list.await, now) });
            }
            later => return Some(later),
        }
    }
}

/// Waits for a request, for new work, or for `until`.
async fn something(shared: &Shared, requests: &mut JoinSet<Done>, until: Tick) -> Option<Done> {
    let (mut work, mut sleep) = (pin!(shared.work.notified()), pin!(Sleep::until(until)));
    poll_fn(|cx| {
        if let Poll::Ready(Some(done)) = requests.poll_join_next(cx) {
            // The work of a request that panicked is repeated when its lease expires.
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
    let abandoned = {
        let ledger = &mut shared.state().ledger;
        match done {
            Done::Listed(listed, began) => ledger.listed(listed, began, now),
            Done::Killed(sandbox, Some(was_there)) => {
                ledger.killed(&sandbox, was_there);
                Vec::new()
            }
            Done::Killed(sandbox, None) => ledger.kill_failed(&sandbox, now).into_iter().collect(),
        }
    };
    shared.resolved.notify_waiters();
    abandoned.iter().for_each(warn);
}

pub(super) fn warn(abandoned: &Abandoned) {
    let Abandoned { call, sandbox } = abandoned;
    tracing::warn!(
        target: "sandtower::e2b",
        call_id = call.as_deref(),
        sandbox_id = sandbox.as_deref(),
        "cleanup failed: an orphaned sandbox may run until the end of its lifetime"
    );
}

/// Present while the task exists.
struct Running {
    shared: Arc<Shared>,
    number: u64,
    ended: bool,
}

impl Running {
    /// Whether the task may end. If so, the next piece of work starts another one.
    fn ends(&mut self) -> bool {
        let below = {
            let mut state = self.shared.state();
            if state.task.is_none_or(|task| task.number != self.number) {
                None
            } else if !state.ledger.is_idle() && state.below.is_some() {
                return false;
            } else {
                state.task = None;
                state.below.take()
            }
        };
        drop(below);
        self.ended = true;
        true
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let left = {
            let mut state = self.shared.state();
            // Another task may have taken over. If none has, one can: `below` is kept.
            if state.task.is_none_or(|task| task.number != self.number) {
                return;
            }
            state.task = None;
            state.ledger.left()
        };
        self.shared.resolved.notify_waiters();
        if left > 0 {
            tracing::warn!(
                target: "sandtower::e2b",
                left,
                "orphaned sandboxes will not be cleaned up before the next drain: the runtime has ended"
            );
        }
    }
}
