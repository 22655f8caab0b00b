use std::time::Duration;

use sandtower_core::{Completion, Operation, Outcome, Reason, RequestInfo, Scope, Tick, Verdict};

use crate::scopes::Scopes;
use crate::{
    Charge, Config, Entry, Gcra, Learned, Mode, OperationStats, Recorded, Shadow, Status, Window,
    alarm::Alarm,
};

/// What a [`RateLimit`](crate::RateLimit) gives for one attempt.
#[derive(Debug)]
pub struct Token {
    /// Of the records that it belongs to: after a reset it is of no more meaning.
    epoch: u32,
    recorded: Recorded,
    /// Its number with the shadow; 0 without one.
    attempt: u64,
    /// None without a pace, and for what went although it was too fast.
    charge: Option<Charge>,
    /// Whether it raised the count to where it may be news.
    may_warn: bool,
}

/// All that is known of one operation: what was sent, and what may be sent. Pure.
#[derive(Debug)]
pub(crate) struct Lane {
    operation: Operation,
    epoch: u32,
    limit: Option<u64>,
    window: Window,
    pace: Option<Gcra>,
    scopes: Scopes,
    believed: Duration,
    alarm: Alarm,
    over: u64,
    /// Sent, less given back, since the last exchange with the store.
    unsaved: i64,
}

/// Who asks for a token, and what becomes of a no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A gate's shell or a waiting room: as the [`Mode`] says.
    Gate,
    /// The line of a layer that paces: a no is a no.
    Line {
        /// Since when it stands there, if others may come fresh.
        arrived: Tick,
    },
}

/// Why an attempt may not go, and when it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    pub(crate) until: Tick,
    pub(crate) reason: Reason,
}

/// What is worth telling after an attempt. It is told when the lane is unlocked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) level: Option<Level>,
    pub(crate) held: Option<Duration>,
}

/// A part of a limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) percent: u8,
    pub(crate) count: u64,
    pub(crate) limit: u64,
}

impl Token {
    /// Whether nothing is learned from `verdict` on its attempt, and there is nothing to tell: then
    /// the lane need not be asked.
    #[inline]
    pub(crate) fn is_quiet(&self, verdict: &Verdict) -> bool {
        let teaches = verdict.allowance.is_some() || verdict.outcome == Outcome::Throttled;
        !(self.may_warn || teaches)
    }
}

impl Lane {
    pub(crate) fn new(operation: Operation, config: &Config) -> Self {
        Self {
            operation,
            epoch: 0,
            limit: config.limit_of(operation),
            window: Window::new(config.window),
            pace: config.pace_of(operation).map(Gcra::new),
            scopes: Scopes::new(
                config.seed.clone(),
                config.pace_of(operation),
                config.longest_hold,
            ),
            believed: config.believed,
            alarm: Alarm::default(),
            over: 0,
            unsaved: 0,
        }
    }

    #[inline]
    pub(crate) fn take(
        &mut self,
        now: Tick,
        info: &RequestInfo,
        asker: Asker,
        config: &Config,
    ) -> Result<Token, Blocked> {
        // A store knows it by its number alone.
        let RequestInfo { operation, scope, .. } = *info;
        self.operation = operation;
        let count = self.window.count(now);
        if let Some(limit) = self.limit {
            // Here and not when it rises: between two answers the count may fall and rise again.
            self.alarm.fell(&config.levels, count, limit);
        }
        if self.is_over(count, now, scope, asker) {
            self.over = self.over.saturating_add(1);
            if (config.mode == Mode::Enforce || asker != Asker::Gate)
                && let Some(blocked) = self.blocked(now, scope, asker)
            {
                return Err(blocked);
            }
        }
        let attempt = match config.longest_hold.is_zero() {
            true => 0,
            false => self.scopes.at(scope, now, self.believed).took(now),
        };
        self.unsaved += 1;
        Ok(Token {
            epoch: self.epoch,
            attempt,
            recorded: self.window.add(now),
            charge: self.pace.as_mut().and_then(|pace| pace.take(now).ok()),
            may_warn: self.limit.is_some() && self.alarm.may_rise(count.saturating_add(1)),
        })
    }

    pub(crate) fn give_back(&mut self, scope: Scope, token: Token) {
        if token.epoch != self.epoch {
            return;
        }
        if let Some(shadow) = self.scopes.get_mut(scope) {
            shadow.give_back(token.attempt);
        }
        self.unsaved -= 1;
        self.window.give_back(token.recorded);
        if let (Some(pace), Some(charge)) = (&mut self.pace, token.charge) {
            pace.give_back(charge);
        }
    }

    pub(crate) fn settle(
        &mut self,
        token: &Token,
        scope: Scope,
        settlement: &Completion,
        config: &Config,
    ) -> News {
        if token.epoch != self.epoch {
            return News::default();
        }
        let held = self.learn(token.attempt, scope, settlement, config);
        // Only what was really sent may warn: what is given back never gets here.
        let level = self.limit.and_then(|limit| {
            let count = self.window.count(settlement.now);
            let percent = self.alarm.rose(&config.levels, count, limit)?;
            Some(Level { percent, count, limit })
        });
        News { level, held }
    }

    /// Says for how long the server wants to be left alone, if that is new.
    fn learn(
        &mut self,
        attempt: u64,
        scope: Scope,
        settlement: &Completion,
        config: &Config,
    ) -> Option<Duration> {
        let throttled = settlement.verdict.outcome == Outcome::Throttled;
        let says_nothing = settlement.verdict.allowance.is_none() && !throttled;
        if says_nothing || config.longest_hold.is_zero() {
            return None;
        }
        let now = settlement.now;
        let held = |shadow: &Shadow| shadow.held().min(now + config.longest_hold).since(now);
        let shadow = self.scopes.at(scope, now, self.believed);
        let before = held(shadow);
        shadow.learn(attempt, settlement);
        (throttled && before.is_zero()).then(|| held(shadow)).filter(|held| !held.is_zero())
    }

    /// What the store does not have yet, at `wall` in its time. It has it then, if it can be used.
    pub(crate) fn unsaved(&mut self, wall: u64, saved: &mut Vec<Entry>) {
        let operation = self.operation.index() as u8;
        let count = std::mem::take(&mut self.unsaved);
        if count == 0 {
            return;
        }
        saved.push(Entry::Sent { operation, at: wall, count });
        for (scope, learned) in self.scopes.learned() {
            let Some(interval_high) = learned.interval_high else { continue };
            let (scope, interval_low) = (scope.id(), learned.interval_low);
            saved.push(Entry::Learned { operation, scope, at: wall, interval_low, interval_high });
        }
    }

    /// The store could not be used: it gets what it did not have once more.
    pub(crate) fn keep(&mut self, count: i64) {
        self.unsaved = self.unsaved.saturating_add(count);
    }

    /// Others have sent so many.
    pub(crate) fn others_sent(&mut self, at: Tick, count: i64) {
        self.window.add_many(at, u64::try_from(count).unwrap_or(0));
    }

    pub(crate) fn believe(&mut self, scope: Scope, low: Duration, high: Duration, config: &Config) {
        if !config.longest_hold.is_zero() {
            self.scopes.at(scope, Tick::ZERO, self.believed).believe(low, high);
        }
    }

    pub(crate) fn learned(&self, scope: Scope) -> Option<Learned> {
        self.scopes.get(scope)?.learned()
    }

    /// When the next attempt may go.
    pub(crate) fn opens(&mut self, now: Tick, scope: Scope, asker: Asker) -> Tick {
        self.blocked(now, scope, asker).map_or(now, |blocked| blocked.until)
    }

    pub(crate) fn set_limit(&mut self, limit: Option<u64>) {
        self.limit = limit;
        self.alarm = Alarm::default();
    }

    pub(crate) fn reset(&mut self, config: &Config) {
        let (epoch, limit) = (self.epoch.wrapping_add(1), self.limit);
        *self = Self { epoch, limit, ..Self::new(self.operation, config) };
    }

    pub(crate) fn status(&mut self, now: Tick) -> Status {
        let available = self.opens(now, Scope::ALL, Asker::Gate);
        let count = self.window.count(now);
        Status {
            count,
            limit: self.limit,
            exceeded: self.limit.is_some_and(|limit| count >= limit),
            remaining: self.limit.map(|limit| limit.saturating_sub(count)),
            resets_in: self.window.falls_below(1, now).since(now),
            available_in: available.since(now),
        }
    }

    pub(crate) fn stats(&mut self, now: Tick) -> OperationStats {
        OperationStats {
            operation: self.operation.name(),
            count: self.window.count(now),
            limit: self.limit,
            over: self.over,
        }
    }

    /// The last of all reasons to pass. Takes nothing, so that what one of them lets through and
    /// another does not need not be given back.
    fn blocked(&mut self, now: Tick, scope: Scope, asker: Asker) -> Option<Blocked> {
        let all = [self.full(now), self.too_fast(now), self.foreseen(now, scope, asker)];
        all.into_iter().flatten().max_by_key(|blocked| blocked.until)
    }

    /// Whether anything is in the way: the same as [`blocked`](Self::blocked), without the question
    /// until when, which costs more.
    #[inline]
    fn is_over(&mut self, count: u64, now: Tick, scope: Scope, asker: Asker) -> bool {
        self.limit.is_some_and(|limit| count >= limit)
            || self.too_fast(now).is_some()
            || self.foreseen(now, scope, asker).is_some()
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
    fn foreseen(&mut self, now: Tick, scope: Scope, asker: Asker) -> Option<Blocked> {
        let shadow = self.scopes.known(scope, now, self.believed)?;
        let until = match asker {
            Asker::Gate => shadow.opens(now),
            Asker::Line { arrived } => shadow.opens_for(now, arrived),
        };
        (now < until).then(|| Blocked { until, reason: shadow.reason() })
    }
}
