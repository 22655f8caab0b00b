//! How many slots are in use, and who may try for one: no lock, no clock, and randomness only from
//! its seed.
//!
//! What is counted is what was granted, less the ends that were seen. It is never the truth: things
//! end without our seeing it, and others may use slots of the same quota. So the count only says when
//! to be careful, and a probe finds out:
//!
//! ```text
//! the count is below the limit      everyone goes
//! the count is at the limit         one goes at a time
//! the service said no               as many as were seen to end since, and a probe now and then
//! a probe found a slot              step by step more, as many as were counted and may have ended
//! ```

#[cfg(test)]
mod search;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sandtower_core::{Backoff, Rng, Tick};

/// What the engine was told by its configuration. Already checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) limit: Option<u32>,
    pub(crate) probe: Backoff,
    pub(crate) lease: Duration,
}

/// What is handed out for an attempt that takes a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Try {
    generation: u64,
    /// What was counted when it went: if it finds no slot, then at least so many are the limit.
    in_use: u32,
    /// `None`: it is no probe.
    lease: Option<Lease>,
}

/// A probe's, of which no two have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    number: u64,
    /// When the probe is void.
    expires: Tick,
}

/// What came of such an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Granted,
    Exhausted,
    /// It failed for another reason, or nobody knows: nothing is counted that is not known.
    Otherwise,
}

/// Nobody goes before `at`, unless something changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct No {
    pub(crate) at: Tick,
    pub(crate) since: Tick,
}

/// An earlier "no" does not hold any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "those who wait have to be told"]
pub(crate) struct Eased;

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
    /// Every word of the service that changes what is known begins a new one; what was sent in an
    /// older one is counted and says nothing else.
    generation: u64,
    limit: Option<u32>,
    in_use: u32,
    /// Attempts under way.
    out: u32,
    /// Of those counted, how many may have ended unseen: found by a probe, not yet tried.
    hope: u32,
    /// Whether a probe found something since the service last said no.
    found: bool,
    /// Since when the service's no stands.
    no_since: Option<Tick>,
    /// Since when the count alone holds calls back.
    held_since: Option<Tick>,
    /// Probes in a row that found nothing.
    failed: u32,
    /// Answers since a probe found a slot, until there were enough of them.
    stepping: Option<u32>,
    /// The lease of the probe that is out.
    probe: Option<Lease>,
    /// The number of the next lease.
    next_lease: u64,
    /// When the next probe may go.
    due: Tick,
    /// The latest instant that somebody was told to wait for.
    told: Tick,
    counts: Counts,
}

/// So many answers after a probe found a slot, nobody counts steps any more.
const STEPS: u32 = 64;

impl Engine {
    pub(crate) fn new(terms: Terms, rng: Rng) -> Self {
        Self {
            terms,
            rng,
            generation: 0,
            limit: terms.limit,
            in_use: 0,
            out: 0,
            hope: 0,
            found: false,
            no_since: None,
            held_since: None,
            failed: 0,
            stepping: None,
            probe: None,
            next_lease: 0,
            due: Tick::ZERO,
            told: Tick::ZERO,
            counts: Counts::default(),
        }
    }

    /// Asks for a try.
    pub(crate) fn take(&mut self, now: Tick) -> Result<Try, No> {
        let at = self.next_at();
        if now < at {
            self.told = self.told.max(at);
            let since = self.no_since.unwrap_or(*self.held_since.get_or_insert(now));
            return Err(No { at, since });
        }
        let lease = (!self.has_room()).then(|| self.lease(now));
        self.out = self.out.saturating_add(1);
        Ok(Try { generation: self.generation, in_use: self.in_use, lease })
    }

    /// Takes back a try that was never made.
    pub(crate) fn give_back(&mut self, attempt: Try) {
        self.ended(attempt);
    }

    /// Takes back a try that was made.
    pub(crate) fn settle(&mut self, attempt: Try, came: Came, now: Tick) -> Option<Eased> {
        self.counts.probes += u64::from(attempt.lease.is_some());
        // A probe that outlived its lease is void: another may have gone in its place.
        let probed = self.ended(attempt) && attempt.lease.is_some_and(|lease| now < lease.expires);
        let is_news = attempt.generation == self.generation;
        match came {
            Came::Granted => self.granted(probed && is_news, is_news, now),
            Came::Exhausted => {
                self.counts.exhausted += 1;
                if is_news {
                    self.exhausted(attempt, probed, now);
                }
            }
            // The next probe is not about to do better.
            Came::Otherwise if probed && self.no_since.is_some() => self.due = now + self.pause(),
            Came::Otherwise => {}
        }
        self.eased()
    }

    /// So many slots were seen to become free.
    pub(crate) fn release(&mut self, slots: u32) -> Option<Eased> {
        self.counts.released += u64::from(slots);
        let counted = slots.min(self.in_use);
        self.in_use -= counted;
        // Granted before we counted, or to others: then there are more slots than we knew of.
        if self.no_since.is_some() {
            self.limit = self.limit.map(|limit| limit.saturating_add(slots - counted));
        }
        self.eased()
    }

    /// Forgets all but what is under way; from now on `limit` is what is known.
    pub(crate) fn reset(&mut self, limit: Option<u32>) -> Option<Eased> {
        self.terms.limit = limit;
        let fresh = Self::new(self.terms, self.rng.clone());
        let &mut Self { out, told, counts, generation, next_lease, .. } = self;
        *self = Self { out, told, counts, generation: generation + 1, next_lease, ..fresh };
        self.eased()
    }

    pub(crate) fn in_use(&self) -> u32 {
        self.in_use
    }

    pub(crate) fn limit(&self) -> Option<u32> {
        self.limit
    }

    pub(crate) fn under_way(&self) -> u32 {
        self.out
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Since when the service's no stands, and when the next probe may go.
    pub(crate) fn waits(&self) -> Option<No> {
        self.no_since.map(|since| No { at: self.next_at(), since })
    }

    /// When the next may go, if nothing else happens; not in the future: now.
    fn next_at(&self) -> Tick {
        if self.has_room() {
            return Tick::ZERO;
        }
        // Where only the count says that all slots are in use, there is no reason to wait.
        let careful = self.no_since.is_some() || self.is_stepping();
        let due = if careful { self.due } else { Tick::ZERO };
        due.max(self.probe.map_or(Tick::ZERO, |probe| probe.expires))
    }

    fn has_room(&self) -> bool {
        let Some(limit) = self.limit else { return !self.is_stepping() };
        let most = u64::from(limit) + u64::from(self.hope);
        u64::from(self.in_use) + u64::from(self.out) < most && !self.is_stepping()
    }

    /// Whether as many are under way as may be after a probe found a slot: one more each time as many
    /// answers came as may be under way.
    fn is_stepping(&self) -> bool {
        self.stepping.is_some_and(|answers| self.out > answers.isqrt())
    }

    fn lease(&mut self, now: Tick) -> Lease {
        let lease = Lease { number: self.next_lease, expires: now + self.terms.lease };
        (self.next_lease, self.probe) = (self.next_lease + 1, Some(lease));
        lease
    }

    /// Answers whether it was the probe that is out.
    fn ended(&mut self, attempt: Try) -> bool {
        self.out = self.out.saturating_sub(1);
        let is_probe = attempt.lease.is_some() && self.probe == attempt.lease;
        if is_probe {
            self.probe = None;
        }
        is_probe
    }

    fn granted(&mut self, probed: bool, is_news: bool, now: Tick) {
        self.counts.granted += 1;
        if probed {
            return self.found_a_slot(now);
        }
        self.count_one();
        if let Some(answers) = &mut self.stepping {
            *answers += 1;
            if *answers >= STEPS {
                self.stepping = None;
            }
        }
        // As long as slots are seen to become free, there is nothing to probe for. But only a probe
        // that finds one shows that some are not seen.
        if is_news && (self.no_since.is_some() || self.stepping.is_some()) {
            self.due = now + self.pause();
        }
    }

    /// Counts a slot: one that is new, or one in place of another that must have ended.
    fn count_one(&mut self) {
        match self.limit {
            Some(limit) if self.in_use >= limit && self.hope > 0 => self.hope -= 1,
            Some(limit) if self.in_use >= limit => {
                self.in_use = self.in_use.saturating_add(1);
                self.limit = Some(self.in_use);
            }
            _ => self.in_use = self.in_use.saturating_add(1),
        }
    }

    /// One of those counted had ended unseen, so others may have too. If all of those were tried
    /// already, there must be more slots than we knew of.
    fn found_a_slot(&mut self, now: Tick) {
        self.counts.probes_found += 1;
        let is_full = self.limit.is_some_and(|limit| self.in_use >= limit);
        if self.found || !is_full || self.in_use == 0 {
            self.count_one();
        }
        self.found = true;
        self.no_since = None;
        self.hope = self.in_use.saturating_sub(1);
        self.stepping.get_or_insert(1);
        self.generation += 1;
        self.due = now + self.first_pause();
    }

    fn exhausted(&mut self, attempt: Try, probed: bool, now: Tick) {
        // What ended while it was under way may have come too late for it, and is free now.
        self.limit = Some(self.in_use.max(attempt.in_use));
        (self.hope, self.found, self.stepping) = (0, false, None);
        if self.no_since.is_none() {
            self.no_since = Some(self.held_since.unwrap_or(now));
            self.generation += 1;
            self.due = now + self.first_pause();
        } else if probed {
            self.failed = self.failed.saturating_add(1);
            self.due = now + self.pause();
        }
    }

    fn first_pause(&mut self) -> Duration {
        self.failed = 0;
        self.pause()
    }

    /// From half of what the schedule says to all of it, so that many processes do not probe
    /// together.
    fn pause(&mut self) -> Duration {
        let most = self.terms.probe.bound(self.failed);
        most / 2 + Backoff::constant(most - most / 2).full_jitter().delay(0, &mut self.rng)
    }

    /// Whether somebody could go earlier than they were told.
    fn eased(&mut self) -> Option<Eased> {
        if self.next_at() >= self.told {
            return None;
        }
        (self.told, self.held_since) = (Tick::ZERO, None);
        Some(Eased)
    }
}
