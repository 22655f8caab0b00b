use std::time::Duration;

use sandtower_core::{
    Completion, LogLimit, Operation, Outcome, Reason, RequestInfo, Scope, Tick, Verdict,
};

use crate::alarm::Alarm;
use crate::estimate::ServerLimit;
use crate::scopes::Scopes;
use crate::{Charge, Config, Entry, Gcra, OperationSnapshot, Recorded, Status, Window};

/// What a [`RateLimit`](crate::RateLimit) gives for one attempt.
#[derive(Debug)]
pub struct Permit {
    /// Of the records that it belongs to: after a reset it means nothing.
    generation: u32,
    recorded: Recorded,
    /// None without a pace, and for what went although it was too fast.
    charge: Option<Charge>,
    /// Whether it was charged to the pace that was learned.
    paced: bool,
    /// Whether anything is known of the server's limit, that its response may change.
    teaches: bool,
    /// Whether it raised the count to where a warning may be due.
    may_warn: bool,
    /// Whether it went in shadow mode only.
    would_reject: bool,
    /// How many had been turned away when it was acquired.
    turned_away: u64,
}

/// All that is known of one operation: what was sent, and what may be sent. Pure.
#[derive(Debug)]
pub(crate) struct PerOperation {
    operation: Operation,
    /// Its operation was only named by a store so far, which knows its number alone.
    is_unnamed: bool,
    generation: u32,
    exempt: bool,
    shadow: bool,
    limit: Option<u64>,
    window: Window,
    pace: Option<Gcra>,
    scopes: Scopes,
    alarm: Alarm,
    over: u64,
    would_reject: u64,
    would_have_rejected: LogLimit,
    /// Attempts turned away so far: whether there is anyone to tell of a place that is free.
    turned_away: u64,
    /// Those of them that were notified since.
    told: u64,
    /// Sent, less given back, since the last exchange with the store.
    unsaved: i64,
}

/// Why an attempt may not go, and when it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    pub(crate) until: Tick,
    pub(crate) reason: Reason,
}

/// Events to log once the lock is released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// A part of the limit was reached.
    pub(crate) level: Option<Level>,
    /// The server began to hold the operation, for so long.
    pub(crate) held: Option<Duration>,
    /// There are more scopes that are held than there are rows.
    pub(crate) scopes_shared: bool,
    /// Callers that were turned away may get through sooner than they were promised.
    pub(crate) opened: bool,
}

/// Why an attempt that goes in shadow mode would have been rejected, and how many there were since
/// this was last logged.
pub(crate) type WouldHave = (Reason, u64);

/// A part of a limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) percent: u8,
    pub(crate) count: u64,
    pub(crate) limit: u64,
    pub(crate) enforced: bool,
}

impl Permit {
    /// Whether nothing is learned from `verdict` on its attempt, and nothing is to be reported: then
    /// nothing need be locked, nor the clock be read.
    #[inline]
    pub(crate) fn is_quiet(&self, verdict: &Verdict) -> bool {
        let says = verdict.allowance.is_some() || verdict.outcome == Outcome::Throttled;
        !(self.may_warn || self.teaches || says)
    }
}

impl PerOperation {
    pub(crate) fn new(operation: Operation, config: &Config) -> Self {
        Self {
            operation,
            is_unnamed: false,
            generation: 0,
            exempt: config.is_exempt(operation),
            shadow: config.is_shadow(),
            limit: config.limit_of(operation),
            window: Window::new(config.window),
            pace: config.pace_of(operation).map(Gcra::new),
            scopes: Scopes::new(config.seed.clone(), config.longest_hold, config.believed_for),
            alarm: Alarm::default(),
            over: 0,
            would_reject: 0,
            would_have_rejected: LogLimit::default(),
            turned_away: 0,
            told: 0,
            unsaved: 0,
        }
    }

    /// Of an operation that only a store has named so far.
    pub(crate) fn unnamed(operation: u8, config: &Config) -> Self {
        let operation = Operation::new(operation, "from the store");
        Self { is_unnamed: true, ..Self::new(operation, config) }
    }

    /// What is set for an operation is set by its name: it applies once that is known.
    #[inline]
    pub(crate) fn name(&mut self, operation: Operation, config: &Config) {
        if self.is_unnamed {
            let Self { exempt, limit, pace, .. } = Self::new(operation, config);
            (self.operation, self.is_unnamed) = (operation, false);
            (self.exempt, self.limit, self.pace) = (exempt, limit, pace);
        }
    }

    #[inline]
    pub(crate) fn set_shadow(&mut self, shadow: bool) {
        self.shadow = shadow;
    }

    /// Whether attempts beyond the limits are held back.
    fn is_enforced(&self) -> bool {
        !self.shadow && !self.exempt
    }

    /// Whether an attempt may be held back at `now`, or one was counted that matters to a limit.
    pub(crate) fn is_in_use(&mut self, now: Tick) -> bool {
        (self.limit.is_some() && self.window.count(now) > 0)
            || self.pace.as_ref().is_some_and(|pace| !pace.is_rested(now))
            || self.scopes.protects(now)
    }

    /// Why an attempt may not go at `now`, if the limits are enforced. Acquires nothing.
    pub(crate) fn check(&mut self, now: Tick, scope: Scope) -> Option<Blocked> {
        if !self.is_enforced() {
            return None;
        }
        let blocked = self.blocked(now, scope)?;
        self.turned_away += 1;
        Some(blocked)
    }

    #[inline]
    pub(crate) fn take(
        &mut self,
        now: Tick,
        request: &RequestInfo,
        config: &Config,
    ) -> Result<(Permit, Option<WouldHave>), Blocked> {
        let scope = request.scope;
        let count = self.window.count(now);
        if let Some(limit) = self.limit {
            // Here and not when it rises: between two responses the count may fall and rise again.
            self.alarm.fell(config.levels(), count, limit);
        }
        let is_over = self.is_over(count, now, scope);
        if is_over {
            self.over = self.over.saturating_add(1);
            if let Some(blocked) = self.check(now, scope) {
                return Err(blocked);
            }
        }
        let would_reject = is_over && !self.exempt;
        let would_have = if would_reject { self.would_have_rejected(now, scope) } else { None };
        let known = self.scopes.known(scope, now);
        let teaches = known.is_some();
        let paced = known.is_some_and(|estimate| estimate.took(now));
        self.unsaved = self.unsaved.saturating_add(1);
        let permit = Permit {
            generation: self.generation,
            recorded: self.window.add(now),
            charge: self.pace.as_mut().and_then(|pace| pace.take(now).ok()),
            paced,
            teaches,
            may_warn: self.limit.is_some() && self.alarm.may_rise(count.saturating_add(1)),
            would_reject,
            turned_away: self.turned_away,
        };
        Ok((permit, would_have))
    }

    /// Counts an attempt that goes in shadow mode only.
    #[cold]
    fn would_have_rejected(&mut self, now: Tick, scope: Scope) -> Option<WouldHave> {
        self.would_reject = self.would_reject.saturating_add(1);
        let count = self.would_have_rejected.count(now)?;
        Some((self.blocked(now, scope)?.reason, count))
    }

    /// Its attempt was never sent.
    pub(crate) fn give_back(&mut self, scope: Scope, permit: Permit) -> News {
        if permit.generation != self.generation {
            return News::default();
        }
        if permit.paced
            && let Some(estimate) = self.scopes.get_mut(scope)
        {
            estimate.give_back();
        }
        self.would_reject = self.would_reject.saturating_sub(u64::from(permit.would_reject));
        self.unsaved = self.unsaved.saturating_sub(1);
        self.window.give_back(permit.recorded);
        if let (Some(pace), Some(charge)) = (&mut self.pace, permit.charge) {
            pace.give_back(charge);
        }
        // A pair of gates that gives back what the other one rejected must not wake its own queue.
        let opened = self.turned_away != permit.turned_away && self.tell_opened();
        News { opened, ..News::default() }
    }

    pub(crate) fn record(
        &mut self,
        permit: &Permit,
        scope: Scope,
        done: &Completion,
        config: &Config,
    ) -> News {
        if permit.generation != self.generation {
            return News::default();
        }
        let mut news = self.learn(scope, done, config);
        // Only what was really sent may warn: what is given back never gets here.
        news.level = self.limit.and_then(|limit| {
            let count = self.window.count(done.now());
            let percent = self.alarm.rose(config.levels(), count, limit)?;
            Some(Level { percent, count, limit, enforced: self.is_enforced() })
        });
        news
    }

    fn learn(&mut self, scope: Scope, done: &Completion, config: &Config) -> News {
        let throttled = done.verdict.outcome == Outcome::Throttled;
        if config.longest_hold.is_zero() {
            return News::default();
        }
        let says = throttled || done.verdict.allowance.is_some();
        let now = done.now();
        let (estimate, scopes_shared) = match says {
            true => self.scopes.at(scope, now),
            // A plain success matters to what is known already, and is no reason to know of it.
            false => match self.scopes.known(scope, now) {
                Some(estimate) => (estimate, false),
                None => return News::default(),
            },
        };
        let before = (estimate.held(), estimate.opens());
        estimate.learn(done);
        let after = (estimate.held(), estimate.opens());
        let begins = throttled && before.0 <= now && now < after.0;
        let held = begins.then(|| after.0.since(now));
        let opened = after.1 < before.1 && now < before.1 && self.tell_opened();
        News { level: None, held, scopes_shared, opened }
    }

    /// Whether there is anyone to tell of a place that is free.
    fn tell_opened(&mut self) -> bool {
        std::mem::replace(&mut self.told, self.turned_away) != self.turned_away
    }

    /// What the store does not have yet, at `now`, which is `wall` in its time. It has it then, if it
    /// can be used.
    pub(crate) fn unsaved(&mut self, now: Tick, wall: u64, saved: &mut Vec<Entry>) {
        let operation = self.operation.index() as u8;
        let count = std::mem::take(&mut self.unsaved);
        if count != 0 {
            saved.push(Entry::Sent { operation, at: wall, count });
        }
        saved.extend(self.scopes.held(now).map(|(scope, until)| {
            let left = u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX);
            Entry::Held { operation, scope: scope.id(), until: wall.saturating_add(left) }
        }));
    }

    /// The store could not be used: it gets what it did not have once more.
    pub(crate) fn keep(&mut self, count: i64) {
        self.unsaved = self.unsaved.saturating_add(count);
    }

    /// Others have sent `count`, `ago` before `now`. Says whether that made room for callers that
    /// were turned away.
    pub(crate) fn others_sent(&mut self, now: Tick, ago: Duration, count: i64) -> bool {
        self.window.add_past(now, ago, count);
        count < 0 && self.tell_opened()
    }

    /// The process before was held.
    pub(crate) fn hold(&mut self, scope: Scope, until: Tick, now: Tick) {
        self.scopes.at(scope, now).0.hold(until, now);
    }

    pub(crate) fn set_limit(&mut self, limit: Option<u64>) {
        self.limit = limit;
        self.alarm = Alarm::default();
    }

    /// Forgets what was sent and learned. What is unsaved was sent all the same.
    pub(crate) fn reset(&mut self, config: &Config) {
        let (limit, over, unsaved) = (self.limit, self.over, self.unsaved);
        let (shadow, would_reject) = (self.shadow, self.would_reject);
        let (generation, told) = (self.generation.wrapping_add(1), self.turned_away);
        *self = Self::new(self.operation, config);
        (self.limit, self.over, self.unsaved, self.generation) = (limit, over, unsaved, generation);
        (self.turned_away, self.told) = (told, told);
        (self.shadow, self.would_reject) = (shadow, would_reject);
    }

    pub(crate) fn server_limit(&mut self, scope: Scope, now: Tick) -> Option<ServerLimit> {
        Some(self.scopes.known(scope, now)?.snapshot(now))
    }

    pub(crate) fn status(&mut self, now: Tick) -> Status {
        let count = self.window.count(now);
        let mut available = self.scopes.opens();
        for blocked in [self.full(now), self.too_fast(now)].into_iter().flatten() {
            available = available.max(blocked.until);
        }
        Status {
            count,
            limit: self.limit,
            enforced: self.is_enforced(),
            exceeded: self.limit.is_some_and(|limit| count >= limit),
            remaining: self.limit.map(|limit| limit.saturating_sub(count)),
            resets_in: self.window.falls_below(1, now).since(now),
            available_in: available.since(now),
        }
    }

    pub(crate) fn snapshot(&mut self, now: Tick) -> OperationSnapshot {
        OperationSnapshot {
            operation: self.operation.name(),
            count: self.window.count(now),
            limit: self.limit,
            enforced: self.is_enforced(),
            over: self.over,
            would_reject: self.would_reject,
        }
    }

    /// The last of all reasons to pass. Acquires nothing, so that what one of them lets through and
    /// another does not need not be given back.
    fn blocked(&mut self, now: Tick, scope: Scope) -> Option<Blocked> {
        let all = [self.full(now), self.too_fast(now), self.held_back(now, scope)];
        all.into_iter().flatten().max_by_key(|blocked| blocked.until)
    }

    /// Whether anything is in the way: the same as [`blocked`](Self::blocked), without the question
    /// until when, which costs more.
    #[inline]
    fn is_over(&mut self, count: u64, now: Tick, scope: Scope) -> bool {
        self.limit.is_some_and(|limit| count >= limit)
            || self.too_fast(now).is_some()
            || self.held_back(now, scope).is_some()
    }

    fn full(&mut self, now: Tick) -> Option<Blocked> {
        let limit = self.limit?;
        let count = self.window.count(now);
        (count >= limit).then(|| Blocked {
            until: self.window.falls_below(limit, now),
            reason: Reason::OverLimit { count, limit },
        })
    }

    #[inline]
    fn too_fast(&self, now: Tick) -> Option<Blocked> {
        let pace = self.pace.as_ref()?;
        let (until, limit) = (pace.opens(), pace.burst());
        let reason = Reason::OverLimit { count: limit, limit };
        (now < until).then_some(Blocked { until, reason })
    }

    #[inline]
    fn held_back(&mut self, now: Tick, scope: Scope) -> Option<Blocked> {
        let estimate = self.scopes.known(scope, now)?;
        let until = estimate.opens();
        (now < until).then(|| Blocked { until, reason: estimate.reason() })
    }
}
