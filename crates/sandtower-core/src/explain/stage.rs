use std::time::Duration;

use crate::{Outcome, Rejection};

/// What a call did for some of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StageKind {
    /// It waited in a queue of admission control.
    Queue,
    /// An attempt was in flight.
    Attempt,
    /// It waited before the next attempt.
    Backoff,
    /// It looked for what an attempt without a known result had done.
    Reconcile,
    /// What it created was checked.
    HealthCheck,
    /// A sandbox from the warm pool was connected to and checked.
    Pool,
    /// The alternative to the service was in flight.
    Fallback,
    /// One of our own layers rejected it. Takes no time.
    Rejected,
}

impl StageKind {
    /// All of them, in the order of their [`index`](Self::index).
    pub const ALL: [Self; 8] = [
        Self::Queue,
        Self::Attempt,
        Self::Backoff,
        Self::Reconcile,
        Self::HealthCheck,
        Self::Pool,
        Self::Fallback,
        Self::Rejected,
    ];

    /// A dense number, for tables.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Attempt => "attempt",
            Self::Backoff => "backoff",
            Self::Reconcile => "reconcile",
            Self::HealthCheck => "health_check",
            Self::Pool => "pool",
            Self::Fallback => "fallback",
            Self::Rejected => "rejected",
        }
    }
}

/// One stage of a call: how long it took, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallStage {
    /// What the call did.
    pub kind: StageKind,
    /// When the stage began, counted from the beginning of the call.
    pub start: Duration,
    /// How long it took.
    pub took: Duration,
    /// The number of the attempt that it belongs to; 1 for the first.
    pub attempt: u32,
    /// How it ended. `None`: the call went on with the next stage.
    pub outcome: Option<Outcome>,
    /// The HTTP status of the response, if there was one.
    pub status: Option<u16>,
    /// What held the call in the queue, or rejected it.
    pub why: Option<Box<Rejection>>,
}

impl CallStage {
    pub(super) const fn new(kind: StageKind, attempt: u32) -> Self {
        let (start, took) = (Duration::ZERO, Duration::ZERO);
        Self { kind, start, took, attempt, outcome: None, status: None, why: None }
    }

    fn failed(&self) -> bool {
        self.outcome.is_some_and(|outcome| outcome != Outcome::Success)
    }

    fn fmt_exchange(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            StageKind::Attempt => write!(f, "attempt {}", self.attempt)?,
            _ => f.write_str("fallback")?,
        }
        let took = Took(self.took);
        let ended = match (self.outcome, self.status) {
            (Some(Outcome::Success) | None, _) => return write!(f, " succeeded in {took}"),
            (Some(Outcome::Throttled), _) => "was throttled",
            (Some(Outcome::Exhausted), _) => "found no slot",
            (Some(Outcome::Cancelled), _) => "was cancelled",
            (Some(Outcome::Rejected), _) => "was rejected",
            (Some(Outcome::Transient | Outcome::Unknown), None) => "got no response",
            (Some(_), _) => "failed",
        };
        match self.status {
            Some(status) => write!(f, " {ended} ({status}) after {took}"),
            None => write!(f, " {ended} after {took}"),
        }
    }
}

/// `queue 2.1 s (rate limit)`, `attempt 1 failed (503) after 0.4 s`.
impl std::fmt::Display for CallStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let took = Took(self.took);
        match self.kind {
            StageKind::Attempt | StageKind::Fallback => return self.fmt_exchange(f),
            StageKind::Rejected => {
                return match &self.why {
                    Some(why) => write!(f, "rejected: {why}"),
                    None => f.write_str("rejected"),
                };
            }
            StageKind::Queue if self.failed() => write!(f, "still queued after {took}")?,
            StageKind::Queue => write!(f, "queue {took}")?,
            StageKind::Backoff if self.failed() => write!(f, "still in backoff after {took}")?,
            StageKind::Backoff => write!(f, "backoff {took}")?,
            StageKind::Reconcile => write!(f, "reconcile {took}")?,
            StageKind::HealthCheck if self.failed() => {
                write!(f, "health check failed after {took}")?;
            }
            StageKind::HealthCheck => write!(f, "health check {took}")?,
            StageKind::Pool if self.failed() => write!(f, "warm pool failed after {took}")?,
            StageKind::Pool => write!(f, "warm pool {took}")?,
        }
        match &self.why {
            Some(why) => write!(f, " ({})", why.layer()),
            None => Ok(()),
        }
    }
}

/// Tenths of a second; milliseconds below one tenth.
pub(super) struct Took(pub(super) Duration);

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_millis() {
            millis @ 0..100 => write!(f, "{millis} ms"),
            _ => write!(f, "{:.1} s", self.0.as_secs_f64()),
        }
    }
}
