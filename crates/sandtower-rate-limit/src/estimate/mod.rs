//! What is known of the server's own limit, for one scope of one operation.

mod headers;
mod pacing;

use std::time::Duration;

use sandtower_core::{Allowance, Backoff, Completion, Outcome, Reason, Rng, Tick};

use self::headers::Form;
use self::pacing::{Pacing, STEERABLE};
use crate::window::nanos;

/// The wait after a 429 that does not say how long: as the retry crate's for the same case.
const BACKOFF: Backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(30));

/// Servers cut `Retry-After` to whole seconds, so up to a second is added to it. Drawn at random,
/// it also keeps clients apart that were throttled together.
const WHOLE_SECOND: u64 = 1_000_000_000;

/// A pace is slower than the server's own by this part of it. Attempts that are sent one interval
/// apart arrive closer than that whenever the second one travels faster: 16 ms of a second.
const MARGIN: u64 = 64;

/// The longest pace, in emission intervals, where what remains says nothing to steer by. A client
/// that slows down without a bound never finds the gap that one that has the whole limit leaves.
const PERSISTENT: u64 = 4;

/// The estimate of the server's limit: until when to hold, and at what pace to send. Pure.
///
/// 1. After a 429: not before its `Retry-After`, whatever else it says; without one, a backoff.
/// 2. When nothing is left: not before the reset, or one emission interval where the headers have
///    shown that there is one.
/// 3. From the first 429 on, a pace: see [`Pacing`].
///
/// Nothing holds for longer than the longest hold.
#[derive(Debug)]
pub(crate) struct Estimate {
    held: Tick,
    reason: Reason,
    form: Form,
    told: Option<Allowance>,
    pacing: Option<Pacing>,
    /// How many 429 in a row, of attempts that were sent one after the other.
    throttled: u32,
    /// When the latest 429 came: one of an attempt that was sent before says nothing new.
    throttled_at: Option<Tick>,
    /// When the latest response came that said anything.
    heard: Tick,
    /// The shortest time from a send to its response: no attempt was under way to the server for
    /// longer, however long it worked.
    quickest: Duration,
    longest_hold: Duration,
    rng: Rng,
}

/// What the responses of a server have said of its rate limit. Times are milliseconds when it is
/// serialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ServerLimit {
    /// The limit in the latest response: of a server like E2B, the burst.
    pub limit: Option<u64>,
    /// What was left of it.
    pub remaining: Option<u64>,
    /// The time in which one comes back, where the headers have shown that they come back one by
    /// one. Serializes as `emission_interval_ms`.
    #[serde(rename = "emission_interval_ms", serialize_with = "crate::status::optional_millis")]
    pub emission_interval: Option<Duration>,
    /// The time between two attempts that is kept since the server throttled. Serializes as
    /// `paced_every_ms`.
    #[serde(rename = "paced_every_ms", serialize_with = "crate::status::optional_millis")]
    pub paced_every: Option<Duration>,
    /// The time until the next attempt may go. Serializes as `held_for_ms`.
    #[serde(rename = "held_for_ms", serialize_with = "crate::status::millis")]
    pub held_for: Duration,
}

impl Estimate {
    /// Knows nothing, and holds nothing back.
    pub(crate) fn new(rng: Rng, longest_hold: Duration) -> Self {
        Self {
            held: Tick::ZERO,
            reason: Reason::Throttled,
            form: Form::default(),
            told: None,
            pacing: None,
            throttled: 0,
            throttled_at: None,
            heard: Tick::ZERO,
            quickest: Duration::MAX,
            longest_hold,
            rng,
        }
    }

    /// When the next attempt may go: in the past if it may now.
    #[inline]
    pub(crate) fn opens(&self) -> Tick {
        self.pacing.as_ref().map_or(self.held, |pacing| pacing.opens().max(self.held))
    }

    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    pub(crate) fn is_paced(&self) -> bool {
        self.pacing.is_some()
    }

    /// An attempt goes at `now`. Says whether it has to be given back if it is never sent.
    #[inline]
    pub(crate) fn took(&mut self, now: Tick) -> bool {
        self.pacing.as_mut().is_some_and(|pacing| pacing.took(now))
    }

    /// An attempt that was to go was never sent.
    pub(crate) fn give_back(&mut self) {
        if let Some(pacing) = &mut self.pacing {
            pacing.give_back();
        }
    }

    /// Until when the process before was held.
    pub(crate) fn hold(&mut self, until: Tick, now: Tick) {
        self.hold_until(until, now);
        self.heard = self.heard.max(now);
    }

    /// The hold that a store should keep: a server's word, not what was learned of its rate.
    pub(crate) fn held(&self) -> Tick {
        self.held
    }

    /// Whether it holds something back at `now`, or will: then it must not be forgotten.
    pub(crate) fn protects(&self, now: Tick, believed_for: Duration) -> bool {
        now < self.opens() || (self.is_paced() && !self.is_stale(now, believed_for))
    }

    /// Whether it is as good as unknown: silent for longer than it is believed.
    pub(crate) fn is_stale(&self, now: Tick, believed_for: Duration) -> bool {
        self.heard + believed_for < now && self.opens() <= now
    }

    pub(crate) fn heard(&self) -> Tick {
        self.heard
    }

    /// Learns from what became of an attempt.
    pub(crate) fn learn(&mut self, done: &Completion) {
        let (now, outcome) = (done.now(), done.verdict.outcome);
        let told = done.verdict.allowance.filter(|told| told.limit > 0);
        let throttled = outcome == Outcome::Throttled;
        // A call that was cancelled or failed on its way says nothing of a limit.
        let passed = matches!(outcome, Outcome::Success | Outcome::Permanent) || told.is_some();
        if !throttled && !passed {
            return;
        }
        if let Some(told) = told {
            self.form.hear(&told, throttled);
            self.told = Some(told);
        }
        self.heard = self.heard.max(now);
        self.quickest = self.quickest.min(done.took());
        match throttled {
            true => self.throttled(done, told, now),
            false => self.passed(done, told, now),
        }
    }

    /// Whether `done` was sent after the latest 429 came: what was sent before says nothing new.
    fn is_news(&self, done: &Completion) -> bool {
        self.throttled_at.is_none_or(|before| done.sent > before)
    }

    fn throttled(&mut self, done: &Completion, told: Option<Allowance>, now: Tick) {
        let is_news = self.is_news(done);
        if is_news {
            self.throttled = self.throttled.saturating_add(1);
            self.throttled_at = Some(now);
        }
        let spent = told.filter(|told| told.remaining == 0);
        let at_least = match done.verdict.retry_after {
            Some(after) => nanos(after),
            None => self.backoff(),
        };
        let wait = at_least.max(spent.map_or(0, |told| self.form.until_more(&told)));
        let cut_off = self.rng.u64(0..=WHOLE_SECOND);
        self.hold_until(now + Duration::from_nanos(wait.saturating_add(cut_off)), now);
        self.reason = Reason::Throttled;
        // A window that is used up is waited for: there is no pace to be found.
        if is_news && (spent.is_none() || self.form.emission().is_some()) {
            let bounds = self.bounds();
            match &mut self.pacing {
                Some(pacing) => pacing.throttled(bounds),
                None => self.pacing = Some(Pacing::new(now, bounds)),
            }
        }
    }

    /// Half of it for sure: full jitter could come back at once.
    fn backoff(&mut self) -> u64 {
        let bound = nanos(BACKOFF.bound(self.throttled.saturating_sub(1)));
        bound / 2 + self.rng.u64(0..=bound / 2)
    }

    fn passed(&mut self, done: &Completion, told: Option<Allowance>, now: Tick) {
        let (bounds, emission) = (self.bounds(), self.form.emission());
        if self.is_news(done) {
            self.throttled = 0;
            if let Some(pacing) = &mut self.pacing {
                pacing.passed(told.zip(emission), done, bounds);
            }
        }
        if let Some(told) = told.filter(|told| told.remaining == 0) {
            // The server counted it when it arrived, and not when its work was done.
            let arrived = now.min(done.sent + self.quickest);
            let wait = Duration::from_nanos(self.form.until_more(&told));
            self.hold_until(arrived + wait, now);
            self.reason = Reason::OverLimit { count: told.limit, limit: told.limit };
        }
    }

    fn hold_until(&mut self, until: Tick, now: Tick) {
        self.held = self.held.max(until.min(now + self.longest_hold));
    }

    /// The shortest and the longest time between two attempts.
    fn bounds(&self) -> (u64, u64) {
        let longest = nanos(self.longest_hold).max(1);
        let Some(emission) = self.form.emission() else { return (1, longest) };
        let shortest = emission.saturating_add(emission / MARGIN).min(longest);
        match self.told.is_some_and(|told| told.limit < STEERABLE) {
            true => (shortest, emission.saturating_mul(PERSISTENT).min(longest)),
            false => (shortest, longest),
        }
    }

    /// What the responses have said, if any did.
    pub(crate) fn snapshot(&self, now: Tick) -> ServerLimit {
        ServerLimit {
            limit: self.told.map(|told| told.limit),
            remaining: self.told.map(|told| told.remaining),
            emission_interval: self.form.emission().map(Duration::from_nanos),
            paced_every: self.pacing.as_ref().map(Pacing::period),
            held_for: self.opens().since(now),
        }
    }
}
