use sandtower_core::{Operation, Reason, Settlement, Tick};
use std::time::Duration;

use crate::{
    Charge, Config, Gcra, Mode, OperationStats, Recorded, Status, Window, alarm::Alarm, hold::Hold,
};

/// What a [`RateLimit`](crate::RateLimit) gives for one attempt.
#[derive(Debug)]
pub struct Token {
    /// Of the records that it belongs to: after a reset it is of no more meaning.
    epoch: u32,
    recorded: Recorded,
    /// None without a pace, and for what went although it was too fast.
    charge: Option<Charge>,
}

/// All that is known of one operation: what was sent, and what may be sent. Pure.
#[derive(Debug)]
pub(crate) struct Lane {
    operation: Operation,
    epoch: u32,
    limit: Option<u64>,
    window: Window,
    pace: Option<Gcra>,
    hold: Hold,
    alarm: Alarm,
    over: u64,
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

impl Lane {
    pub(crate) fn new(operation: Operation, config: &Config) -> Self {
        Self {
            operation,
            epoch: 0,
            limit: config.limit_of(operation),
            window: Window::new(config.window),
            pace: config.pace_of(operation).map(Gcra::new),
            hold: Hold::default(),
            alarm: Alarm::default(),
            over: 0,
        }
    }

    pub(crate) fn take(&mut self, now: Tick, config: &Config) -> Result<Token, Blocked> {
        if let Some(limit) = self.limit {
            // Here and not when it rises: between two answers the count may fall and rise again.
            self.alarm.fell(&config.levels, self.window.count(now), limit);
        }
        if let Some(blocked) = self.blocked(now) {
            self.over = self.over.saturating_add(1);
            if config.mode == Mode::Enforce {
                return Err(blocked);
            }
        }
        Ok(Token {
            epoch: self.epoch,
            recorded: self.window.add(now),
            charge: self.pace.as_mut().and_then(|pace| pace.take(now).ok()),
        })
    }

    pub(crate) fn give_back(&mut self, token: Token) {
        if token.epoch != self.epoch {
            return;
        }
        self.window.give_back(token.recorded);
        if let (Some(pace), Some(charge)) = (&mut self.pace, token.charge) {
            pace.give_back(charge);
        }
    }

    pub(crate) fn settle(
        &mut self,
        token: &Token,
        settlement: &Settlement,
        config: &Config,
    ) -> News {
        if token.epoch != self.epoch {
            return News::default();
        }
        let was_held = self.hold.until(settlement.now).is_some();
        let held = self.hold.learn(settlement, config.longest_hold).filter(|_| !was_held);
        // Only what was really sent may warn: what is given back never gets here.
        let level = self.limit.and_then(|limit| {
            let count = self.window.count(settlement.now);
            let percent = self.alarm.rose(&config.levels, count, limit)?;
            Some(Level { percent, count, limit })
        });
        News { level, held }
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
        let available = self.blocked(now).map_or(now, |blocked| blocked.until);
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
    fn blocked(&mut self, now: Tick) -> Option<Blocked> {
        let all = [self.full(now), self.too_fast(now), self.held(now)];
        all.into_iter().flatten().max_by_key(|blocked| blocked.until)
    }

    fn full(&mut self, now: Tick) -> Option<Blocked> {
        let limit = self.limit?;
        let count = self.window.count(now);
        (count >= limit).then(|| Blocked {
            until: self.window.falls_below(limit, now),
            reason: Reason::OverLimit { count, limit },
        })
    }

    fn too_fast(&self, now: Tick) -> Option<Blocked> {
        let pace = self.pace.as_ref()?;
        let (until, limit) = (pace.opens(), pace.burst());
        let reason = Reason::OverLimit { count: limit, limit };
        (now < until).then_some(Blocked { until, reason })
    }

    fn held(&self, now: Tick) -> Option<Blocked> {
        let until = self.hold.until(now)?;
        Some(Blocked { until, reason: self.hold.reason() })
    }
}
