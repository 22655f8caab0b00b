use std::sync::Weak;

use crate::{Deferred, Now, Rejection, RequestInfo, Subscriber, Tick, Verdict};

/// An admission policy: decides whether an attempt may be sent now. A breaker, a rate limit, a
/// concurrency limit and a quota are gates.
///
/// A gate is a cheap handle (clone it freely) over an engine that reads no clock and draws no
/// randomness of its own. A gate is enforced by its own layer or by admission control, never by both.
///
/// # The life of a permit
///
/// [`try_acquire`](Gate::try_acquire) gives a permit for one attempt. It comes back by
/// [`record`](Gate::record), with what became of the attempt; a [`Guard`](crate::Guard) sees to that
/// when futures are dropped. Asking is not acquiring: thirty callers held before an open breaker do
/// not all see its one probe.
///
/// # For implementors
///
/// No method has a default, so that a gate made of gates cannot forget to pass one on. What must
/// never happen:
///
/// - No waker, event, subscriber or drop of a user's value runs while a lock is held: it goes to
///   `later`, which runs after the outermost lock is released.
/// - A permit from before a reset, a trip or an expiry changes nothing after it: it carries its
///   generation.
/// - A slot that becomes free, in whatever way, notifies the [subscribers](Gate::subscribe), if a
///   call was turned away meanwhile; an attempt that was [not sent](Stage::NotSent) notifies only then,
///   so that a pair that gives one permit back does not wake its own queue.
/// - A gate that is `Closed` for a cause that passes says until when, if it knows.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an admission policy",
    label = "not a `Gate`",
    note = "a `CircuitBreaker`, a `RateLimit`, a `Quota`, a `Monitor`, and a pair, an `Arc` or an `Option` \
            of gates are gates",
    note = "give the handle, not its layer or its configuration"
)]
pub trait Gate: Send + Sync + 'static {
    /// What the gate gives for one attempt. It may outlive the call: the reader of a stream holds it
    /// until the [end of the stream](crate::EndOfStream).
    type Permit: Send + 'static;

    /// What `try_acquire` would say, without acquiring or counting anything: of `request`, or with
    /// `None`, of any request whatever it is. `None` means that it may succeed.
    ///
    /// Runs in every `poll_ready`, so it reads the clock only if it has to.
    fn check(&self, request: Option<&RequestInfo>, now: &Now) -> Option<No>;

    /// Acquires a permit for one attempt.
    ///
    /// # Errors
    ///
    /// Not now, or not at all: see [`No`].
    fn try_acquire(
        &self,
        request: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<Self::Permit, No>;

    /// Takes a permit back, with what became of its attempt.
    ///
    /// At [`Stage::Head`] the gate may return it: it is then kept, and recorded once more at
    /// [`Stage::End`], with what the end of the stream said. At any other stage what is returned is
    /// dropped.
    fn record(
        &self,
        request: &RequestInfo,
        permit: Self::Permit,
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<Self::Permit>;

    /// The service below failed to become ready: no attempt was sent, yet it may matter.
    fn not_ready(&self, verdict: &Verdict, now: &Now, later: &mut Deferred);

    /// Notifies `subscriber` when an earlier decision may have changed before the instant it gave.
    fn subscribe(&self, subscriber: Weak<dyn Subscriber>);
}

/// Why an attempt may not be sent now.
#[derive(Clone, Debug, PartialEq)]
pub enum No {
    /// Not yet; waiting cures it. A layer that does not wait rejects the call with `why`.
    Wait {
        /// When the attempt may get through at the earliest. A caller that cannot wait so long is
        /// rejected at once.
        earliest: Tick,
        /// When to ask again if no [change](crate::Change) is reported before. Not before `earliest`,
        /// and no reason to reject a call: the lease of a probe may run for a minute although its
        /// response comes in a moment.
        look_again: Tick,
        /// The rejection of the caller.
        why: Rejection,
    },
    /// Rejected. Waiting is not wanted; whoever holds calls through it does so by choice.
    Closed {
        /// Until when, as far as is known.
        until: Option<Tick>,
        /// The rejection of the caller.
        why: Rejection,
    },
}

impl No {
    /// The rejection of the caller.
    pub fn why(&self) -> &Rejection {
        match self {
            Self::Wait { why, .. } | Self::Closed { why, .. } => why,
        }
    }

    /// The rejection of the caller.
    pub fn into_rejection(self) -> Rejection {
        match self {
            Self::Wait { why, .. } | Self::Closed { why, .. } => why,
        }
    }

    /// Whether a call that has to be sent by `deadline` may as well be rejected now.
    pub fn is_hopeless(&self, deadline: Option<Tick>) -> bool {
        match self {
            Self::Closed { .. } => true,
            Self::Wait { earliest, .. } => deadline.is_some_and(|deadline| *earliest > deadline),
        }
    }

    /// What two gates say together, both of which an attempt needs: `Closed` if one is closed, else
    /// the longer wait, with the reason of the gate whose `look_again` is later.
    pub(crate) fn and(self, other: Option<Self>) -> Self {
        match (self, other) {
            (Self::Closed { until, why }, _) | (_, Some(Self::Closed { until, why })) => {
                Self::Closed { until, why }
            }
            (only, None) => only,
            (
                Self::Wait { earliest, look_again, why },
                Some(Self::Wait { earliest: second, look_again: again, why: other }),
            ) => Self::Wait {
                earliest: earliest.max(second),
                look_again: look_again.max(again),
                why: if again > look_again { other } else { why },
            },
        }
    }
}

/// How far an attempt had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was never sent: nothing is known, and nothing happened.
    NotSent,
    /// The head of its response has come, and its outcome stands only at the end of the stream.
    Head,
    /// It is over.
    End,
}

/// What became of an attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Completion {
    /// How far it had come.
    pub stage: Stage,
    /// How it ended; at [`Stage::Head`], what is known so far.
    pub verdict: Verdict,
    /// When it was sent. Time in a queue never looks like a slow service.
    pub sent: Tick,
    now: Now,
}

impl Completion {
    /// An attempt that was sent at `sent` and ended in `verdict` at `now`.
    pub fn new(verdict: Verdict, sent: Tick, now: impl Into<Now>) -> Self {
        Self { stage: Stage::End, verdict, sent, now: now.into() }
    }

    /// An attempt sent at `sent` whose head came at `now`, and said `verdict`.
    pub fn head(verdict: Verdict, sent: Tick, now: impl Into<Now>) -> Self {
        Self { stage: Stage::Head, ..Self::new(verdict, sent, now) }
    }

    /// An attempt that was never sent.
    pub fn not_sent(now: impl Into<Now>) -> Self {
        Self { stage: Stage::NotSent, ..Self::new(Verdict::rejected(), Tick::MAX, now) }
    }

    /// When it ended. Reads the clock the first time, if it was not read before.
    #[inline]
    pub fn now(&self) -> Tick {
        self.now.tick()
    }

    /// The time from sending to the end. Zero if it was never sent.
    #[inline]
    pub fn took(&self) -> std::time::Duration {
        self.now().since(self.sent)
    }

    /// Whether it was sent.
    #[inline]
    pub fn was_sent(&self) -> bool {
        self.stage != Stage::NotSent
    }
}
