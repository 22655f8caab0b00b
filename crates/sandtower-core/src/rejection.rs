use std::sync::Arc;
use std::time::Duration;

use crate::Operation;

/// Why one of our own layers said no, with the numbers that led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A circuit breaker is open: `failed` of the last `of` calls failed.
    Open {
        /// How many of them failed.
        failed: u32,
        /// How many calls were looked at.
        of: u32,
    },
    /// A circuit breaker is open since an operator forced it.
    ForcedOpen,
    /// A circuit breaker is testing the recovery, and its probes are out.
    Probing,
    /// A circuit breaker is closed again, and lets calls through one after the other.
    Recovering,
    /// A limit on the rate is used up.
    OverLimit {
        /// What was counted in the window.
        count: u64,
        /// What the window allows.
        limit: u64,
    },
    /// The service asked to be left alone.
    Throttled,
    /// All slots are in use and no call may wait.
    Full {
        /// The number of slots.
        limit: u32,
    },
    /// The queue takes no more.
    QueueFull {
        /// How many are waiting.
        waiting: u32,
    },
    /// The caller's deadline came, or would come, before its turn.
    TooLate {
        /// How long it waited.
        waited: Duration,
    },
    /// The caller's deadline would come before its position in the queue and its response.
    NoTime {
        /// How long it would have waited for its turn.
        wait: Duration,
    },
    /// The service has no slot left; only something ending cures it, not time.
    Exhausted {
        /// How many slots are in use, as far as is known: granted, and not seen to end.
        in_use: u32,
        /// How many the service has for us, as far as is known.
        limit: u32,
        /// For how long it has been so.
        lasting: Duration,
    },
    /// What is below is known to be unhealthy.
    Unhealthy,
    /// The layer is shutting down.
    Draining,
}

impl Reason {
    /// The name for logs and metrics: one of a closed set.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::ForcedOpen => "forced_open",
            Self::Probing => "probing",
            Self::Recovering => "recovering",
            Self::OverLimit { .. } => "over_limit",
            Self::Throttled => "throttled",
            Self::Full { .. } => "full",
            Self::QueueFull { .. } => "queue_full",
            Self::TooLate { .. } => "too_late",
            Self::NoTime { .. } => "no_time",
            Self::Exhausted { .. } => "exhausted",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open { failed: 1, of: 1 } => f.write_str("is open: the last call failed"),
            Self::Open { failed, of } if failed == of => {
                write!(f, "is open: the last {of} calls failed")
            }
            Self::Open { failed, of } => {
                write!(f, "is open: {failed} of the last {of} calls failed")
            }
            Self::ForcedOpen => f.write_str("is open: an operator forced it"),
            Self::Probing => f.write_str("is testing whether the service recovered"),
            Self::Recovering => f.write_str("lets calls through step by step after an outage"),
            Self::OverLimit { count, limit } => {
                write!(f, "is over its limit: {count} of {limit} used")
            }
            Self::Throttled => f.write_str("holds back: the service asked for it"),
            Self::Full { limit } => write!(f, "is full: all {limit} slots are in use"),
            Self::QueueFull { waiting: 1 } => f.write_str("is full: a call is waiting"),
            Self::QueueFull { waiting } => write!(f, "is full: {waiting} calls are waiting"),
            Self::TooLate { waited } => {
                write!(f, "could not serve the call in time: it waited {}", Seconds(*waited))
            }
            Self::NoTime { wait } => {
                write!(f, "cannot serve the call in time: it would wait {}", Seconds(*wait))
            }
            Self::Exhausted { in_use, limit, lasting } => {
                f.write_str("waits for a slot to be free: ")?;
                match limit {
                    0 => f.write_str("others use all of them")?,
                    _ => write!(f, "{in_use} of {limit} are in use")?,
                }
                if lasting.is_zero() { Ok(()) } else { write!(f, ", for {}", Seconds(*lasting)) }
            }
            Self::Unhealthy => f.write_str("found the service unhealthy"),
            Self::Draining => f.write_str("is shutting down"),
        }
    }
}

/// Our own "no": which layer said it, why, and when to come back. Never retried.
///
/// It reaches the caller as a [`BoxError`](crate::BoxError); [`find`](crate::find) gets it back.
///
/// ```
/// use std::time::Duration;
/// use sandtower_core::{Reason, Rejection};
///
/// let rejection = Rejection::new("circuit breaker", "E2B", Reason::Open { failed: 7, of: 8 })
///     .come_back_in(Duration::from_secs(45));
/// assert_eq!(
///     rejection.to_string(),
///     "circuit breaker `E2B` is open: 7 of the last 8 calls failed; retry in 45 s",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    layer: &'static str,
    name: Arc<str>,
    operation: Option<Operation>,
    reason: Reason,
    retry_after: RetryAfter,
    limited: Option<Arc<Limited>>,
}

/// An optional duration in nanoseconds: half the size of one, since rejections are errors of small
/// functions.
#[derive(Clone, Copy, PartialEq, Eq)]
struct RetryAfter(u64);

impl RetryAfter {
    const UNKNOWN: Self = Self(u64::MAX);
    const NEVER: Self = Self(u64::MAX - 1);

    fn get(self) -> Option<Duration> {
        match self {
            Self::UNKNOWN => None,
            Self::NEVER => Some(Duration::MAX),
            Self(nanos) => Some(Duration::from_nanos(nanos)),
        }
    }
}

impl From<Duration> for RetryAfter {
    fn from(after: Duration) -> Self {
        let nanos = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        Self(nanos.min(Self::NEVER.0))
    }
}

impl std::fmt::Debug for RetryAfter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Limited {
    limit: Box<str>,
    tenant: Option<Arc<str>>,
}

impl Rejection {
    /// A rejection by the `layer` that its user named `name`. Handing in an `Arc<str>` allocates
    /// nothing.
    pub fn new(layer: &'static str, name: impl Into<Arc<str>>, reason: Reason) -> Self {
        let (operation, retry_after, limited) = (None, RetryAfter::UNKNOWN, None);
        Self { layer, name: name.into(), operation, reason, retry_after, limited }
    }

    /// Sets the operation that it is about, if it is not about all.
    #[must_use]
    pub fn about(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Sets when to come back.
    #[must_use]
    pub fn come_back_in(mut self, after: Duration) -> Self {
        self.retry_after = RetryAfter::from(after);
        self
    }

    /// Sets which of several limits it was, such as `in total`, and the tenant whose it is, by its name
    /// for operators; `None`: the limit is not one tenant's.
    #[must_use]
    pub fn by_limit(mut self, limit: &str, tenant: Option<Arc<str>>) -> Self {
        self.limited = Some(Arc::new(Limited { limit: limit.into(), tenant }));
        self
    }

    /// The kind of layer, such as `circuit breaker`.
    pub fn layer(&self) -> &'static str {
        self.layer
    }

    /// The name that its user gave the layer.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The operation that it is about; `None`: all, or requests that are not distinguished.
    pub fn operation(&self) -> Option<Operation> {
        self.operation.filter(|&operation| operation != Operation::CALL)
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Which of several limits it was; `None`: there is one only.
    pub fn limit(&self) -> Option<&str> {
        self.limited.as_ref().map(|limited| &*limited.limit)
    }

    /// The tenant whose limit it was, by its name for operators; `None`: it is not one tenant's.
    pub fn tenant(&self) -> Option<&str> {
        self.limited.as_ref()?.tenant.as_deref()
    }

    /// How long to wait before coming back; `None`: unknown.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after.get()
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} `{}`", self.layer, self.name)?;
        if let Some(operation) = self.operation() {
            write!(f, " for {operation}")?;
        }
        write!(f, " {}", self.reason)?;
        match (self.limit(), self.tenant()) {
            (Some(limit), Some(tenant)) => write!(f, " (limit `{limit}`, tenant `{tenant}`)")?,
            (Some(limit), None) => write!(f, " (limit `{limit}`)")?,
            (None, _) => {}
        }
        match self.retry_after() {
            Some(after) => write!(f, "; retry in {}", Seconds(after)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Rejection {}

/// Rounded up, so that who obeys it does not come too early: whole seconds from ten on, tenths
/// below.
struct Seconds(Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tenths = self.0.as_nanos().div_ceil(100_000_000);
        if tenths >= 100 {
            write!(f, "{} s", tenths.div_ceil(10))
        } else if tenths.is_multiple_of(10) {
            write!(f, "{} s", tenths / 10)
        } else {
            write!(f, "{}.{} s", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_rounded_up_so_that_no_caller_comes_too_early() {
        let shown = |millis| Seconds(Duration::from_millis(millis)).to_string();
        assert_eq!(shown(0), "0 s");
        assert_eq!(shown(1), "0.1 s");
        assert_eq!(shown(1_000), "1 s");
        assert_eq!(shown(1_001), "1.1 s");
        assert_eq!(shown(44_001), "45 s");
    }

    #[test]
    fn the_message_says_who_why_and_what_comes_next() {
        let rejection = Rejection::new("admission", "E2B", Reason::QueueFull { waiting: 256 });
        assert_eq!(rejection.to_string(), "admission `E2B` is full: 256 calls are waiting");
        let about = rejection.about(Operation::new(1, "sandbox_create"));
        assert_eq!(
            about.to_string(),
            "admission `E2B` for sandbox_create is full: 256 calls are waiting",
        );
    }

    #[test]
    fn it_says_which_limit_and_whose() {
        let rejection = Rejection::new("admission", "E2B", Reason::Full { limit: 4 });
        assert_eq!((rejection.limit(), rejection.tenant()), (None, None));
        let rejection = rejection.by_limit("per tenant", Some("acme".into()));
        assert_eq!((rejection.limit(), rejection.tenant()), (Some("per tenant"), Some("acme")));
        assert_eq!(
            rejection.come_back_in(Duration::from_secs(2)).to_string(),
            "admission `E2B` is full: all 4 slots are in use (limit `per tenant`, tenant `acme`); \
             retry in 2 s",
        );
    }

    #[test]
    fn when_to_come_back_is_kept_and_beyond_centuries_it_is_never() {
        let after = |after| Rejection::new("any", "any", Reason::Draining).come_back_in(after);
        for kept in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            assert_eq!(after(kept).retry_after(), Some(kept));
        }
        assert_eq!(after(Duration::from_secs(u64::MAX)).retry_after(), Some(Duration::MAX));
    }

    #[test]
    fn out_of_slots_it_says_how_many_are_in_use_and_since_when() {
        let told = |in_use, limit, seconds| {
            let lasting = Duration::from_secs(seconds);
            Reason::Exhausted { in_use, limit, lasting }.to_string()
        };
        let all = "waits for a slot to be free: 20 of 20 are in use";
        assert_eq!(told(20, 20, 0), all);
        assert_eq!(told(20, 20, 12), format!("{all}, for 12 s"));
        assert_eq!(told(0, 0, 0), "waits for a slot to be free: others use all of them");
    }
}
