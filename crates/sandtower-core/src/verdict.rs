use std::time::Duration;

/// How an attempt ended, as far as it matters to layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The service did its work. A failure of the user's own code is a success of the service.
    Success,
    /// A passing failure: another attempt may well succeed.
    Transient,
    /// Too many requests in too short a time; waiting cures it.
    Throttled,
    /// Out of slots; only something ending cures it, not time.
    Exhausted,
    /// The service is alive and said no; another attempt gets the same response.
    Permanent,
    /// It cannot be known.
    Unknown,
    /// One of our own layers said no; the service was not asked.
    Rejected,
    /// The attempt was sent, and its caller ended it before the response: the future was dropped, or
    /// the caller's own request body failed.
    Cancelled,
}

impl Outcome {
    /// The name for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Exhausted => "exhausted",
            Self::Permanent => "permanent",
            Self::Unknown => "unknown",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

/// Whether a failed attempt may have changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Certainly nothing happened: it may be sent again.
    None,
    /// Something may have happened: only a request that is safe to replay may be sent again.
    Maybe,
}

/// What a failure says something about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum About {
    /// The service as a whole: what keeps watch over its health counts it. The default.
    #[default]
    Service,
    /// One thing in it, such as a sandbox or a key: the service itself has responded, and is healthy.
    One,
    /// The caller's own side: its request body, the certificates that it trusts, its machine's file
    /// descriptors or memory. Evidence neither against the service nor for it.
    Caller,
}

/// A server's explicit word on retrying, such as `Should-Retry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// It asks for another attempt. Moves within the replay rule, never past it.
    Retry,
    /// It asks for none.
    Stop,
}

/// What a server said of its own rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Allowance {
    /// The most that may be sent at once (a burst, not a rate).
    pub limit: u64,
    /// What is left of it.
    pub remaining: u64,
    /// The time until all of it is back.
    pub reset: Duration,
}

impl Allowance {
    /// `remaining` of `limit`, all of it back after `reset`.
    pub const fn new(limit: u64, remaining: u64, reset: Duration) -> Self {
        Self { limit, remaining, reset }
    }
}

/// What an attempt says: how it ended, whether it may have had an effect, when to come back.
///
/// ```
/// use std::time::Duration;
/// use sandtower_core::{Effect, Outcome, Verdict};
///
/// let verdict = Verdict::transient(Effect::None).retry_after(Duration::from_secs(2));
/// assert_eq!(verdict.outcome, Outcome::Transient);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it may have changed anything. Of no meaning for a success.
    pub effect: Effect,
    /// What it says something about. Of no meaning for a success.
    pub about: About,
    /// When the server asked to come back. Servers floor it to whole seconds.
    pub retry_after: Option<Duration>,
    /// What the server said about retrying.
    pub advice: Option<Advice>,
    /// What the server said of its rate limit.
    pub allowance: Option<Allowance>,
}

impl Verdict {
    const fn of(outcome: Outcome, effect: Effect) -> Self {
        let about = About::Service;
        Self { outcome, effect, about, retry_after: None, advice: None, allowance: None }
    }

    /// The service did its work.
    pub const fn success() -> Self {
        Self::of(Outcome::Success, Effect::None)
    }

    /// A passing failure.
    pub const fn transient(effect: Effect) -> Self {
        Self::of(Outcome::Transient, effect)
    }

    /// Too many requests; nothing happened.
    pub const fn throttled() -> Self {
        Self::of(Outcome::Throttled, Effect::None)
    }

    /// Out of slots; nothing happened.
    pub const fn exhausted() -> Self {
        Self::of(Outcome::Exhausted, Effect::None)
    }

    /// A failure that another attempt would repeat.
    pub const fn permanent() -> Self {
        Self::of(Outcome::Permanent, Effect::None)
    }

    /// A failure of which nothing is known; it may have had an effect.
    pub const fn unknown() -> Self {
        Self::of(Outcome::Unknown, Effect::Maybe)
    }

    /// One of our own layers said no.
    pub const fn rejected() -> Self {
        Self::of(Outcome::Rejected, Effect::None)
    }

    /// Sent, and dropped before its response.
    pub const fn cancelled() -> Self {
        Self::of(Outcome::Cancelled, Effect::Maybe)
    }

    /// Sets when the server asked to come back.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Sets what the server said about retrying.
    #[must_use]
    pub const fn advice(mut self, advice: Advice) -> Self {
        self.advice = Some(advice);
        self
    }

    /// Sets what the server said of its rate limit.
    #[must_use]
    pub const fn allowance(mut self, allowance: Allowance) -> Self {
        self.allowance = Some(allowance);
        self
    }

    /// Sets whether it may have changed anything.
    #[must_use]
    pub const fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// Says that it is about one thing in the service, and nothing against the service.
    #[must_use]
    pub const fn about_one(mut self) -> Self {
        self.about = About::One;
        self
    }

    /// Says that it is about the caller's own side, and no evidence about the service.
    #[must_use]
    pub const fn about_caller(mut self) -> Self {
        self.about = About::Caller;
        self
    }

    /// Whether it shows that the service is alive and takes calls: it did its work, or gave a clear no.
    /// What funds retries goes by this.
    pub const fn shows_service_alive(&self) -> bool {
        matches!(self.outcome, Outcome::Success | Outcome::Permanent)
            && !matches!(self.about, About::Caller)
    }

    /// Whether the service did its work.
    pub const fn is_success(&self) -> bool {
        matches!(self.outcome, Outcome::Success)
    }

    /// Whether it counts against the health of the service: transient and unknown failures do, unless
    /// they are [about](About) one thing in it or about the caller. A service that throttles, is full, or says a clear
    /// no is alive.
    pub const fn is_failure(&self) -> bool {
        matches!(self.outcome, Outcome::Transient | Outcome::Unknown)
            && matches!(self.about, About::Service)
    }
}
