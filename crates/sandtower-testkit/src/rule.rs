//! The rules of the tower contract, each with a stable name.

use std::fmt;

/// A rule of the tower contract that a service can break.
///
/// Its [`Display`](fmt::Display) form is the stable name that a failing test prints.
///
/// ```
/// use sandtower_testkit::Rule;
///
/// assert_eq!(Rule::OneCallPerReadiness.to_string(), "one-call-per-readiness");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// An instance of the inner service is called only after that very instance was polled ready.
    OnlyReadyInstancesAreCalled,
    /// One readiness allows one call: after it the instance has to be polled ready again.
    OneCallPerReadiness,
    /// An instance whose `poll_ready` failed is dropped: it is neither polled nor called again.
    FailedInstancesAreNotUsed,
    /// `poll_ready` does not fail for a transient cause, such as a failed or a cancelled call.
    ReadinessNeverErrsForAPassingCause,
    /// A ready service that is dropped uncalled releases its reservation.
    ReservationsComeBack,
    /// Dropping a call drops the calls below it.
    DroppedCallsEndBelow,
    /// Whatever was cancelled, a later call gets through.
    CancelledCallsDoNotWedge,
    /// Once the service and its calls are dropped, no instance of the inner service is left.
    NothingOutlivesItsService,
    /// A call that can continue is woken: none depends on a poll without a wake-up.
    NoLostWakeUps,
    /// Capacity that was granted to a caller that is not polled reaches the next caller.
    CapacityIsPassedOn,
    /// A timer fires even if the future that it bounds exhausts the cooperative budget of its task.
    TimersFire,
    /// No call is polled repeatedly while nothing changes.
    NoBusyLoops,
    /// A call ends when the inner service does its part.
    CallsFinish,
    /// A future that is polled after it completed panics or completes again, but is never pending.
    FinishedFuturesAreNotPending,
    /// What is left behind in a runtime that ended blocks nothing in another.
    RuntimesMayEnd,
    /// A call that succeeds or fails below does so above, with the same response.
    ResponsesPassThrough,
    /// The service does not panic.
    NoPanics,
}

impl Rule {
    /// The stable name, for instance `no-lost-wake-ups`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OnlyReadyInstancesAreCalled => "only-ready-instances-are-called",
            Self::OneCallPerReadiness => "one-call-per-readiness",
            Self::FailedInstancesAreNotUsed => "failed-instances-are-not-used",
            Self::ReadinessNeverErrsForAPassingCause => "readiness-never-errs-for-a-passing-cause",
            Self::ReservationsComeBack => "reservations-come-back",
            Self::DroppedCallsEndBelow => "dropped-calls-end-below",
            Self::CancelledCallsDoNotWedge => "cancelled-calls-do-not-wedge",
            Self::NothingOutlivesItsService => "nothing-outlives-its-service",
            Self::NoLostWakeUps => "no-lost-wake-ups",
            Self::CapacityIsPassedOn => "capacity-is-passed-on",
            Self::TimersFire => "timers-fire",
            Self::NoBusyLoops => "no-busy-loops",
            Self::CallsFinish => "calls-finish",
            Self::FinishedFuturesAreNotPending => "finished-futures-are-not-pending",
            Self::RuntimesMayEnd => "runtimes-may-end",
            Self::ResponsesPassThrough => "responses-pass-through",
            Self::NoPanics => "no-panics",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A rule that was broken, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The rule that was broken.
    pub rule: Rule,
    /// What was seen.
    pub seen: String,
}

impl Violation {
    pub(crate) fn new(rule: Rule, seen: impl Into<String>) -> Self {
        Self { rule, seen: seen.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tower contract broken: rule `{}`: {}", self.rule, self.seen)
    }
}
