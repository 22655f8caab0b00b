use std::time::Duration;

use sandtower_core::{Allowance, Completion, Outcome, Reason, Rng, Tick};

use crate::Pace;
use crate::frame::Frame;
use crate::interval::Interval;
use crate::share::{COARSE, Share};

/// Servers cut `Retry-After` to whole seconds, and round the time to a full allowance up to them.
const WHOLE: u64 = 1_000_000_000;

/// How long what was seen of other clients is believed.
const OTHERS_FADE: Duration = Duration::from_secs(60);

/// What a client knows of its server's rate limit: a shadow of the server's own GCRA, pure.
///
/// It learns from what answers [allow](Allowance), from `Retry-After`, and from being throttled, and
/// predicts when the next attempt will pass. Servers floor the one and round up the other to whole
/// seconds, and count an attempt when it arrives, which is some time between its send and its
/// answer; so the emission interval is an interval of its own, which each answer narrows.
///
/// As long as answers agree that nobody else uses the limit, all of the burst is used, and the
/// prediction is the server's own arithmetic. Once others are seen, this client keeps to a share of
/// the rate, steered so that what remains stays about half of the burst: all clients look at the one
/// number and need no other word between them. Of a burst of one or two nothing remains to look at:
/// there it keeps to slots of time that were found free, and uses about half of the limit.
///
/// ```
/// use std::time::Duration;
/// use sandtower_core::{Allowance, Completion, Tick, Verdict};
/// use sandtower_rate_limit::Shadow;
///
/// let (sent, now) = (Tick::ZERO, Tick::ZERO + Duration::from_millis(50));
/// let mut shadow = Shadow::new(7);
/// let attempt = shadow.took(sent);
/// // One of one, and all of it back within a second.
/// let verdict = Verdict::success().allowance(Allowance::new(1, 0, Duration::from_secs(1)));
/// shadow.learn(attempt, &Completion::new(verdict, sent, now));
/// assert_eq!(shadow.opens(now), now + Duration::from_secs(1));
/// ```
#[derive(Debug)]
pub struct Shadow {
    /// As told by the server; 0: not told yet.
    burst: u64,
    remaining: u64,
    interval: Interval,
    /// When the server's allowance will be full at the latest, if nobody else sends.
    full: u64,
    /// The same by our own account alone: what answers show beyond it, others have used.
    ours: u64,
    /// What that was before the latest attempt.
    before: u64,
    /// What a server said outright: nothing before this.
    held: u64,
    reason: Reason,
    /// The send and the answer of the latest word that was believed.
    sent: u64,
    told: u64,
    /// The shortest time from a send to its answer, which no way there takes longer than.
    transit: u64,
    /// When others were last seen, if they were.
    others: Option<u64>,
    share: Share,
    frame: Frame,
    /// How many attempts ever went; the number of the latest.
    attempts: u64,
    longest_hold: u64,
}

/// What a [`Shadow`] has learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Learned {
    /// The most that may be sent at once.
    pub burst: u64,
    /// What was left of it when the latest answer was given.
    pub remaining: u64,
    /// One comes back no faster than this.
    pub interval_low: Duration,
    /// One comes back no slower than this; `None`: not known yet.
    pub interval_high: Option<Duration>,
    /// Whether other clients use the limit as well.
    pub shared: bool,
}

impl Shadow {
    /// Knows nothing yet. The `seed` decides how it stays out of step with other clients.
    pub fn new(seed: u64) -> Self {
        Self {
            burst: 0,
            remaining: 0,
            interval: Interval::UNKNOWN,
            full: 0,
            ours: 0,
            before: 0,
            held: 0,
            reason: Reason::Throttled,
            sent: 0,
            told: 0,
            transit: u64::MAX,
            others: None,
            share: Share::new(Rng::with_seed(seed)),
            frame: Frame::new(Rng::with_seed(!seed)),
            attempts: 0,
            longest_hold: nanos(Duration::from_secs(60)),
        }
    }

    /// Knows the server's interval from its documents. Answers that contradict it are believed more.
    #[must_use]
    pub fn knowing(mut self, pace: Pace) -> Self {
        self.interval = Interval::exactly(nanos(pace.interval()));
        self
    }

    /// Holds back at most this long by one answer; 60 s unless told.
    #[must_use]
    pub fn longest_hold(mut self, longest: Duration) -> Self {
        self.longest_hold = nanos(longest);
        self
    }

    /// Another process has learned this of the interval.
    pub(crate) fn believe(&mut self, low: Duration, high: Duration) {
        self.interval.believe(nanos(low), nanos(high));
    }

    /// An attempt goes at `now`. Says its number, by which it is known when it comes back.
    pub fn took(&mut self, now: Tick) -> u64 {
        let now = now.as_nanos();
        self.attempts += 1;
        if let Some(interval) = self.interval.high() {
            let one_more = |full: u64| full.max(now).saturating_add(interval);
            self.full = one_more(self.full);
            self.before = self.ours;
            self.ours = one_more(self.ours);
        }
        self.share.took(now);
        self.frame.took(now, self.attempts);
        self.attempts
    }

    /// An attempt that was to go was never sent.
    pub fn give_back(&mut self, attempt: u64) {
        if let Some(interval) = self.interval.high() {
            self.full = self.full.saturating_sub(interval);
            self.ours = self.ours.saturating_sub(interval);
        }
        self.share.give_back();
        self.frame.give_back(attempt);
    }

    /// Learns from what came of an attempt.
    pub fn learn(&mut self, attempt: u64, settlement: &Completion) {
        // Those that went after it are not in what it tells.
        let later = self.attempts.saturating_sub(attempt);
        let (sent, now) = (settlement.sent.as_nanos(), settlement.now.as_nanos());
        let verdict = &settlement.verdict;
        let throttled = verdict.outcome == Outcome::Throttled;
        if verdict.allowance.is_none() && !throttled {
            return;
        }
        self.transit = self.transit.min(now.saturating_sub(sent));
        let wait = verdict.retry_after.map(nanos);
        if let Some(told) = verdict.allowance.filter(|told| told.limit > 0) {
            if told.limit != self.burst {
                self.interval.unless_known();
            }
            self.burst = told.limit;
            let before = self.interval.high();
            self.interval.narrow(&told, wait, throttled);
            self.count_ours(before, sent);
        }
        match throttled {
            true => self.frame.throttled(attempt),
            false => self.frame.passed(attempt),
        }
        // An answer to what was sent before an answer that was believed is old news.
        if sent < self.sent && !throttled {
            return;
        }
        let arrived = now.min(sent.saturating_add(self.transit));
        match verdict.allowance.filter(|told| told.limit > 0) {
            Some(told) if !throttled => self.passed(&told, later, sent, arrived, now),
            told => self.throttled(told.as_ref(), wait, later, sent, arrived, now),
        }
        (self.sent, self.told) = (sent.max(self.sent), now);
    }

    fn passed(&mut self, told: &Allowance, later: u64, sent: u64, arrived: u64, now: u64) {
        self.remaining = told.remaining;
        let owed = told.limit.saturating_sub(told.remaining);
        let interval = self.interval.high_or(nanos(told.reset));
        // By what is left, or by the time that it told, whichever is sooner. The arithmetic goes on
        // with the longest interval, so that time has to be stretched to it.
        let stretched =
            (interval - self.interval.low().min(interval)).saturating_mul(told.limit - 1);
        let by_time = nanos(told.reset).saturating_add(stretched);
        let until_full = by_time.min(interval.saturating_mul(owed));
        self.see_others(owed.saturating_sub(1), later, sent, now, false);
        let after = interval.saturating_mul(later);
        self.full = arrived.saturating_add(until_full).saturating_add(after);
        if told.remaining == 0 {
            self.reason = Reason::OverLimit { count: told.limit, limit: told.limit };
        }
        self.ours = self.ours.min(self.full);
        self.share.passed(told, interval);
    }

    fn throttled(
        &mut self,
        told: Option<&Allowance>,
        wait: Option<u64>,
        later: u64,
        sent: u64,
        arrived: u64,
        now: u64,
    ) {
        self.remaining = 0;
        self.reason = Reason::Throttled;
        // Not more than a second longer than it said, nor than it takes one to come back.
        let longest = wait.unwrap_or(0).saturating_add(WHOLE);
        let longest = match (told, self.interval.high()) {
            (Some(_), Some(interval)) => longest.min(interval),
            _ => longest,
        };
        let from = if told.is_some() { arrived } else { now };
        self.held = self.held.max(from.saturating_add(longest));
        let Some(interval) = self.interval.high() else { return };
        if self.burst == 0 {
            return;
        }
        self.see_others(self.burst, later, sent, now, true);
        // It took nothing.
        self.ours = match later {
            0 => self.before,
            _ => self.ours.saturating_sub(interval),
        };
        self.share.throttled(interval, self.held);
    }

    /// Keeps the number of those of ours that are not brought back yet, when the time that one takes
    /// turns out to be another.
    fn count_ours(&mut self, before: Option<u64>, sent: u64) {
        let Some(interval) = self.interval.high() else { return };
        let ours = match before {
            Some(before) if before == interval => return,
            Some(before) => self.ours.saturating_sub(sent).div_ceil(before),
            // All that ever went: before the first answer nobody knows how fast they come back.
            None => self.attempts,
        };
        self.ours = sent.saturating_add(ours.saturating_mul(interval));
        self.before = self.ours.saturating_sub(interval);
    }

    /// Whether more was owed when an attempt of ours arrived than we can have used.
    fn see_others(&mut self, owed: u64, later: u64, sent: u64, now: u64, throttled: bool) {
        let Some(interval) = self.interval.high() else { return };
        // Those of ours that went before it, and that time has not brought back yet: a little more
        // time than it takes, since one may be on its way for longer than the next.
        let slack = interval / 4;
        let before = match later {
            0 => self.before,
            _ => self.ours.saturating_sub(interval.saturating_mul(later.saturating_add(1))),
        };
        let ours = before.saturating_add(slack).saturating_sub(sent).div_ceil(interval.max(1));
        // One more for what is rounded, and for attempts that overtook each other.
        let rounded = u64::from(!throttled || self.burst > 1);
        if owed > ours.saturating_add(rounded) {
            if !self.is_shared() {
                self.share.begin(interval, now);
                self.frame.begin(if self.burst < COARSE { interval } else { 0 });
            }
            self.others = Some(now);
        }
    }

    /// When the next attempt passes, as far as is known: in the past if it does now.
    pub fn opens(&mut self, now: Tick) -> Tick {
        self.opens_for(now, Tick::MAX)
    }

    /// The same for a caller in line since `arrived`, when others may come fresh: what a shared
    /// limit saves up for those it leaves to them for a while.
    pub(crate) fn opens_for(&mut self, now: Tick, arrived: Tick) -> Tick {
        // Whatever the server said last, it holds nothing back for longer than the user allows.
        let at_most = self.latest().saturating_add(self.longest_hold);
        let by_word = self.held.min(at_most);
        let Some(interval) = self.interval.high().filter(|_| self.burst > 0) else {
            return Tick::from_nanos(by_word);
        };
        let ahead = interval.saturating_mul(self.burst - 1);
        let by_count = self.full.saturating_sub(ahead).min(at_most);
        let at_least = by_word.max(by_count);
        let by_share = match self.is_shared() {
            true if self.burst < COARSE => self.frame.opens(at_least.max(now.as_nanos())),
            true => self.share.opens(arrived.as_nanos()),
            false => 0,
        };
        Tick::from_nanos(at_least.max(by_share))
    }

    /// Until when the server has asked to be left alone.
    pub(crate) fn held(&self) -> Tick {
        Tick::from_nanos(self.held)
    }

    /// Why not before.
    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    /// The latest that an attempt or an answer told it.
    pub(crate) fn latest(&self) -> u64 {
        self.told.max(self.sent)
    }

    fn is_shared(&self) -> bool {
        if self.burst < COARSE {
            // Of one nothing remains whoever took it: answers cannot say that the others are gone.
            return self.others.is_some();
        }
        let others = self.others.map(|seen| seen.saturating_add(nanos(OTHERS_FADE)));
        others.is_some_and(|until| self.told < until)
    }

    /// What it has learned, if anything.
    pub fn learned(&self) -> Option<Learned> {
        (self.burst > 0).then(|| Learned {
            burst: self.burst,
            remaining: self.remaining,
            interval_low: Duration::from_nanos(self.interval.low()),
            interval_high: self.interval.high().map(Duration::from_nanos),
            shared: self.is_shared(),
        })
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
