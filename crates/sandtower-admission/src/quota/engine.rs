//! How many slots are in use, and which calls may try for one: no lock, no clock, and randomness only
//! from its seed.
//!
//! The count is what was granted, less the ends that were seen. It is never exact: things end unseen,
//! and other processes may use slots of the same quota. So the count only says when to be careful, the
//! response of the service decides, and a probe finds what neither shows.
//!
//! ```text
//!   Unlimited             Counting
//!   every call goes       calls go below the limit; at it one at a time, at once
//!       |                    |        |
//!       |                    |        | the one at the limit was granted
//!       | "exhausted"        |        v
//!       |        "exhausted" |    Recovering <--+  a probe was granted: as many as are in use
//!       |                    |    |   ^   |     |  may have ended unseen
//!       |                    |    |   |   +-----+
//!       v                    v    v   |
//!   Exhausted <-----------------------+ a probe was granted
//!   one call goes for each end that is seen, and a probe now and then,
//!   more and more rarely as long as probes find none
//! ```
//!
//! `reset` leads from each regime to `Unlimited`, or to `Counting` where the limit is known. Calls of
//! `Recovering` follow step by step, and at its limit one at a time; `"exhausted"` ends it.
//!
//! A response to an attempt that went before its regime began is counted and changes no regime. In
//! the same way a probe is void whose lease expired and in whose place another went.

mod regime;
#[cfg(test)]
mod search;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sandtower_core::{Backoff, Rng, Tick};

use self::regime::{Probe, Regime, STEPS};

/// The validated settings of the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) limit: Option<u32>,
    pub(crate) probe: Backoff,
    pub(crate) lease: Duration,
}

/// An attempt that may take a slot.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, Copy))]
pub(crate) struct Attempt {
    /// Unique, and increasing with time.
    number: u64,
    /// The number in use when it was sent.
    in_use: u32,
    is_probe: bool,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Granted,
    Exhausted,
    /// It failed for another reason, or its outcome is unknown.
    Other,
    NotSent,
}

/// What the outcome of an attempt is evidence of.
#[derive(Clone, Copy)]
enum Role {
    /// It is the probe in flight.
    Probe,
    /// It was sent in this regime and is not a probe.
    Current,
    /// It was sent before this regime, or another replaced it.
    Stale,
}

/// A call may not go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// When the next probe may be sent.
    pub(crate) look_again: Tick,
    /// Whether that is when the lease of a probe in flight expires.
    pub(crate) is_expiry: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) granted: u64,
    pub(crate) released: u64,
    pub(crate) exhausted: u64,
    pub(crate) probes: u64,
    pub(crate) probes_found: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Engine {
    terms: Terms,
    rng: Rng,
    regime: Regime,
    probe: Probe,
    /// The number of the last attempt before this regime.
    began: u64,
    /// The number of the last attempt.
    latest: u64,
    in_use: u32,
    under_way: u32,
    /// The latest instant announced to a rejected call as the one to check again.
    announced: Tick,
    counts: Counts,
}

impl Engine {
    pub(crate) fn new(terms: Terms, rng: Rng) -> Self {
        Self {
            terms,
            rng,
            regime: Regime::with(terms.limit),
            probe: Probe::Due(Tick::ZERO),
            began: 0,
            latest: 0,
            in_use: 0,
            under_way: 0,
            announced: Tick::ZERO,
            counts: Counts::default(),
        }
    }

    /// Whether a call is held now. If so, remembers the announced instant.
    pub(crate) fn check(&mut self, now: Tick) -> Result<(), Held> {
        let look_again = self.opens_at();
        if look_again <= now {
            if self.announced <= now {
                // Those callers check again without a notification.
                self.announced = Tick::ZERO;
            }
            return Ok(());
        }
        self.announced = self.announced.max(look_again);
        Err(Held { look_again, is_expiry: matches!(self.probe, Probe::Out { .. }) })
    }

    /// Lets a call go.
    pub(crate) fn try_acquire(&mut self, now: Tick) -> Result<Attempt, Held> {
        self.check(now)?;
        self.latest += 1;
        let is_probe = !self.has_room();
        if is_probe {
            self.probe = Probe::Out { number: self.latest, expires: now + self.terms.lease };
        } else if let Regime::Exhausted { free, .. } = &mut self.regime {
            *free -= 1;
        }
        self.under_way = self.under_way.saturating_add(1);
        Ok(Attempt { number: self.latest, in_use: self.in_use, is_probe })
    }

    /// Records the outcome of an attempt. Returns whether held calls may go earlier than announced.
    #[must_use]
    pub(crate) fn record(&mut self, attempt: Attempt, outcome: Outcome, now: Tick) -> bool {
        self.under_way = self.under_way.saturating_sub(1);
        self.counts.probes += u64::from(attempt.is_probe && outcome != Outcome::NotSent);
        let role = if self.is_probed_by(attempt.number) {
            Role::Probe
        } else if attempt.number > self.began && !attempt.is_probe {
            Role::Current
        } else {
            Role::Stale
        };
        match outcome {
            Outcome::Granted => self.granted(role, now),
            Outcome::Exhausted => self.exhausted(role, attempt.in_use, now),
            Outcome::Other | Outcome::NotSent => self.unknown(role, outcome, now),
        }
        self.opened()
    }

    /// Records that slots became free. Returns the same as [`record`](Self::record).
    #[must_use]
    pub(crate) fn release(&mut self, slots: u32) -> bool {
        self.counts.released = self.counts.released.saturating_add(u64::from(slots));
        let counted = slots.min(self.in_use);
        self.in_use -= counted;
        if let Regime::Exhausted { limit, free, .. } = &mut self.regime {
            // Granted before counting began, or to others: there are more slots than counted.
            *limit = limit.saturating_add(slots - counted);
            *free = free.saturating_add(slots);
        }
        self.opened()
    }

    /// Forgets everything except attempts in flight, and sets the known `limit`. Returns the same as
    /// [`record`](Self::record).
    #[must_use]
    pub(crate) fn reset(&mut self, limit: Option<u32>) -> bool {
        (self.regime, self.probe) = (Regime::with(limit), Probe::Due(Tick::ZERO));
        (self.began, self.in_use) = (self.latest, 0);
        self.opened()
    }

    pub(crate) fn in_use(&self) -> u32 {
        self.in_use
    }

    pub(crate) fn limit(&self) -> Option<u32> {
        self.regime.limit()
    }

    pub(crate) fn under_way(&self) -> u32 {
        self.under_way
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn exhausted_since(&self) -> Option<Tick> {
        match self.regime {
            Regime::Exhausted { since, .. } => Some(since),
            _ => None,
        }
    }

    /// When the next call may go if nothing else happens. An instant that has passed means now.
    pub(crate) fn opens_at(&self) -> Tick {
        match self.probe {
            _ if self.has_room() => Tick::ZERO,
            Probe::Out { expires, .. } => expires,
            Probe::Due(at) if self.regime.is_careful(self.under_way) => at,
            Probe::Due(_) => Tick::ZERO,
        }
    }

    fn has_room(&self) -> bool {
        self.regime.has_room(self.in_use, self.under_way)
    }

    /// Whether the attempt with this number is the probe in flight. One whose lease expired still is,
    /// until another replaces it.
    fn is_probed_by(&self, attempt: u64) -> bool {
        matches!(self.probe, Probe::Out { number, .. } if number == attempt)
    }

    /// Whether held calls may go earlier than announced.
    fn opened(&mut self) -> bool {
        let is_earlier = self.opens_at() < self.announced;
        if is_earlier {
            self.announced = Tick::ZERO;
        }
        is_earlier
    }

    /// When the next probe is due: jitter takes up to half off the scheduled pause, so that many
    /// processes do not probe together. Never immediately.
    fn due(&mut self, now: Tick) -> Probe {
        let most = self.terms.probe.bound(self.regime.failures());
        let less = Backoff::constant(most / 2).full_jitter().delay(0, &mut self.rng);
        Probe::Due(now + (most - less))
    }

    /// Postpones the next probe, unless it is in flight.
    fn put_off(&mut self, now: Tick) {
        if matches!(self.probe, Probe::Due(_)) {
            self.probe = self.due(now);
        }
    }
}

/// The transitions.
impl Engine {
    fn granted(&mut self, role: Role, now: Tick) {
        use Regime::{Counting, Exhausted, Recovering, Unlimited};
        self.counts.granted += 1;
        let in_use = &mut self.in_use;
        match (role, &mut self.regime) {
            (Role::Probe, &mut (Counting { limit } | Exhausted { limit, .. })) => {
                // One in use must have ended, so others may have ended too.
                self.found(limit, self.in_use, 0, now);
            }
            (Role::Probe, &mut Recovering { limit, unseen, responses }) => {
                self.found(limit, unseen, responses, now);
            }
            (_, Unlimited) => *in_use = in_use.saturating_add(1),
            (_, Counting { limit }) => count(in_use, limit, &mut 0),
            (Role::Stale, Exhausted { limit, .. }) => {
                // Granted before the service was out of slots, and recorded later.
                *in_use = in_use.saturating_add(1);
                *limit = limit.saturating_add(1);
            }
            (Role::Current, Exhausted { limit, .. }) => {
                // While ends are seen, no probe is needed. But only a probe that finds a slot shows that
                // some ends are unseen, and shortens the pauses again.
                count(in_use, limit, &mut 0);
                self.put_off(now);
            }
            (_, Recovering { limit, unseen, responses }) => {
                count(in_use, limit, unseen);
                *responses = (*responses + 1).min(STEPS);
                self.put_off(now);
            }
        }
    }

    /// Records that a probe found a slot. If all that may have ended unseen were tried before, there
    /// are more slots than known, and `limit` grows.
    fn found(&mut self, mut limit: u32, mut unseen: u32, responses: u32, now: Tick) {
        self.counts.probes_found += 1;
        self.began = self.latest;
        count(&mut self.in_use, &mut limit, &mut unseen);
        let (unseen, responses) = (self.in_use.saturating_sub(1), responses % STEPS + 1);
        self.regime = Regime::Recovering { limit, unseen, responses };
        self.probe = self.due(now);
    }

    fn exhausted(&mut self, role: Role, in_use_before: u32, now: Tick) {
        use Regime::{Counting, Exhausted, Recovering, Unlimited};
        self.counts.exhausted += 1;
        match (role, &mut self.regime) {
            (Role::Stale, _) => {}
            (Role::Probe, Exhausted { failures, .. }) => {
                *failures = failures.saturating_add(1);
                self.probe = self.due(now);
            }
            // Another process took the slot that was seen to become free.
            (Role::Current, Exhausted { limit, .. }) => *limit = limit.saturating_sub(1),
            (_, Unlimited | Counting { .. } | Recovering { .. }) => {
                self.began = self.latest;
                // Slots freed while it was in flight may have come too late for it, and are free now.
                let free = in_use_before.saturating_sub(self.in_use);
                let limit = self.in_use + free;
                self.regime = Exhausted { since: now, limit, free, failures: 0 };
                self.probe = self.due(now);
            }
        }
    }

    /// Records an attempt that shows nothing about slots.
    fn unknown(&mut self, role: Role, outcome: Outcome, now: Tick) {
        match (role, &mut self.regime) {
            (Role::Probe, _) if outcome == Outcome::NotSent => self.probe = Probe::Due(Tick::ZERO),
            // Sending the next probe immediately would not do better.
            (Role::Probe, _) => self.probe = self.due(now),
            (Role::Current, Regime::Exhausted { free, .. }) => *free = free.saturating_add(1),
            _ => {}
        }
    }
}

/// Counts a slot: a new one, or one that replaces another that ended unseen.
fn count(in_use: &mut u32, limit: &mut u32, unseen: &mut u32) {
    if *in_use >= *limit && *unseen > 0 {
        *unseen -= 1;
    } else {
        *in_use = in_use.saturating_add(1);
        *limit = (*limit).max(*in_use);
    }
}
