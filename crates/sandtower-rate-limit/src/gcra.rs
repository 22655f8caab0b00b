use std::time::Duration;

use sandtower_core::Tick;
use sandtower_core::settings::duration;
use serde::{Deserialize, Serialize};

/// A rate with a burst: so many at once, and then one every so often.
///
/// ```
/// use std::time::Duration;
/// use sandtower_rate_limit::Pace;
///
/// let one_a_second = Pace::every(Duration::from_secs(1));
/// let five_a_second = Pace::every(Duration::from_millis(200)).burst(10);
/// # let _ = (one_a_second, five_a_second);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Pace {
    interval: Duration,
    burst: u32,
}

impl Pace {
    /// One every `interval`, none at once beyond it.
    pub const fn every(interval: Duration) -> Self {
        Self { interval, burst: 1 }
    }

    /// Lets `burst` go at once after a rest.
    #[must_use]
    pub const fn burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }

    /// Sandbox creations on E2B's Hobby plan: 1 a second.
    pub const HOBBY_CREATIONS: Self = Self::every(Duration::from_secs(1));

    /// Sandbox creations on E2B's Pro plan: 5 a second.
    pub const PRO_CREATIONS: Self = Self::every(Duration::from_millis(200));

    /// E2B's management API: 20,000 in 30 s, counted over all of its operations together.
    pub const MANAGEMENT: Self = Self::within(20_000, Duration::from_secs(30));

    /// E2B's operations on sandboxes: 40,000 in 60 s from one address. Count all of them as one for
    /// it.
    pub const SANDBOX_OPERATIONS: Self = Self::within(40_000, Duration::from_secs(60));

    /// Never more than `count` in any `span`, wherever it begins: a tenth of them at once, and the
    /// others evenly.
    pub const fn within(count: u32, span: Duration) -> Self {
        let burst = if count < 10 { 1 } else { count / 10 };
        let evenly = if count > burst { (count - burst) as u128 } else { 1 };
        // Rounded up, and one nanosecond more: the end of the span belongs to it too.
        let nanos = span.as_nanos() / evenly + 1;
        let most = u64::MAX as u128;
        let interval = Duration::from_nanos(if nanos > most { u64::MAX } else { nanos as u64 });
        Self { interval, burst }
    }

    pub(crate) const fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) const fn most_at_once(&self) -> u32 {
        self.burst
    }
}

/// A [`Pace`] as a file has it.
#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected a time such as \"200ms\" or \"1s\", or `{ every = \"1s\", burst = 10 }`"
)]
enum Form {
    Every(#[serde(with = "duration")] Duration),
    Burst {
        #[serde(with = "duration")]
        every: Duration,
        burst: u32,
    },
}

impl From<Form> for Pace {
    fn from(form: Form) -> Self {
        match form {
            Form::Every(interval) => Self::every(interval),
            Form::Burst { every, burst } => Self::every(every).burst(burst),
        }
    }
}

impl From<Pace> for Form {
    fn from(Pace { interval, burst }: Pace) -> Self {
        if burst == 1 { Self::Every(interval) } else { Self::Burst { every: interval, burst } }
    }
}

/// Keeps a [`Pace`]: the generic cell rate algorithm (ITU-T I.371), pure, in a few words.
///
/// In any time `t` no more than `burst + t / interval` are let through, and no edge of any window
/// doubles that. Each charge takes a slot of one interval on a line of its own; a charge may lie
/// `burst - 1` intervals ahead of the present, no more.
///
/// ```
/// use std::time::Duration;
/// use sandtower_core::Tick;
/// use sandtower_rate_limit::{Gcra, Pace};
///
/// let second = Duration::from_secs(1);
/// let mut gcra = Gcra::new(Pace::every(second));
/// let charge = gcra.take(Tick::ZERO).unwrap();
/// assert_eq!(gcra.take(Tick::ZERO).unwrap_err(), Tick::ZERO + second);
/// gcra.give_back(charge);
/// assert!(gcra.take(Tick::ZERO).is_ok());
/// ```
#[derive(Debug)]
pub struct Gcra {
    interval: u64,
    burst: u32,
    /// How far ahead of the present the slots taken may reach before the next charge.
    ahead: u64,
    /// Where the slots taken end, on the line of slots.
    taken: u64,
    /// When the latest charge was made.
    latest: u64,
    /// By how much giving back has ever moved `taken`.
    returned: u64,
}

/// What one attempt took of a [`Gcra`], to be given back if it was never sent.
#[derive(Debug)]
#[must_use = "what was charged and not sent has to be given back"]
pub struct Charge {
    /// Where its slot ends.
    ends: u64,
    /// What had been given back when it was made.
    returned: u64,
}

impl Gcra {
    /// Keeps `pace`. An interval of zero limits nothing; a burst of 0 counts as 1.
    pub fn new(pace: Pace) -> Self {
        let interval = u64::try_from(pace.interval.as_nanos()).unwrap_or(u64::MAX);
        let ahead = interval.saturating_mul(u64::from(pace.burst.saturating_sub(1)));
        Self { interval, burst: pace.burst, ahead, taken: 0, latest: 0, returned: 0 }
    }

    /// Takes the next slot.
    ///
    /// # Errors
    ///
    /// None is free yet: says when the next one will be.
    pub fn take(&mut self, now: Tick) -> Result<Charge, Tick> {
        let opens = self.opens();
        if now < opens {
            return Err(opens);
        }
        let now = now.as_nanos();
        self.taken = self.taken.max(now).saturating_add(self.interval);
        self.latest = self.latest.max(now);
        Ok(Charge { ends: self.taken, returned: self.returned })
    }

    /// From when on the next slot is free.
    pub const fn opens(&self) -> Tick {
        Tick::from_nanos(self.taken.saturating_sub(self.ahead))
    }

    /// Whether as many may go at once as after any rest.
    pub(crate) fn is_rested(&self, now: Tick) -> bool {
        self.taken <= now.as_nanos()
    }

    /// How many may go at once after a rest.
    pub(crate) fn burst(&self) -> u64 {
        u64::from(self.burst)
    }

    /// Gives a slot back. Whoever comes next finds all as if it had never been taken.
    ///
    /// If others were charged in the meantime, it is worth only what of it had not passed when the
    /// latest of them was: time has given back the rest already, and to give it twice would let
    /// more through than the pace allows.
    pub fn give_back(&mut self, charge: Charge) {
        // Slots moved up by what others gave back; to take this one's for moved is the safe side.
        let moved = self.returned.saturating_sub(charge.returned);
        let unused = charge.ends.saturating_sub(moved).saturating_sub(self.latest);
        let worth = unused.min(self.interval);
        self.taken = self.taken.saturating_sub(worth);
        self.returned = self.returned.saturating_add(worth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Tick {
        Tick::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_passes_and_then_one_an_interval() {
        let mut gcra = Gcra::new(Pace::every(SECOND).burst(3));
        for _ in 0..3 {
            assert!(gcra.take(at(5_000)).is_ok());
        }
        assert_eq!(gcra.take(at(5_000)).unwrap_err(), at(6_000));
        assert_eq!(gcra.take(at(5_999)).unwrap_err(), at(6_000));
        assert!(gcra.take(at(6_000)).is_ok());
        assert_eq!(gcra.take(at(6_000)).unwrap_err(), at(7_000));
    }

    #[test]
    fn a_limit_holds_in_a_span_whose_parts_are_no_whole_nanoseconds() {
        let pace = Pace::within(100, Duration::from_nanos(150));
        let in_a_span = u128::from(pace.most_at_once()) + 150 / pace.interval().as_nanos();
        assert!(in_a_span <= 100, "{in_a_span}");
    }

    #[test]
    fn a_tenth_of_a_limit_may_go_at_once_and_at_least_one() {
        let at_once = [1, 2, 9, 10, 19, 20, 100].map(|n| Pace::within(n, SECOND).most_at_once());
        assert_eq!(at_once, [1, 1, 1, 1, 1, 2, 10]);
        let apart = [1, 2, 3].map(|n| Pace::within(n, SECOND).interval().as_nanos());
        assert_eq!(apart, [1_000_000_001, 1_000_000_001, 500_000_001]);
    }

    #[test]
    fn the_known_limits_hold_in_any_span() {
        for (pace, count, span) in
            [(Pace::MANAGEMENT, 20_000, 30), (Pace::SANDBOX_OPERATIONS, 40_000, 60)]
        {
            let (mut gcra, mut sent) = (Gcra::new(pace), std::collections::VecDeque::new());
            let mut now = at(0);
            while now < at(2 * span * 1_000) {
                if gcra.take(now).is_ok() {
                    sent.push_back(now);
                }
                now = now.max(gcra.opens());
                while sent.front().is_some_and(|first| now.since(*first) > SECOND * span as u32) {
                    sent.pop_front();
                }
                assert!(sent.len() <= count);
            }
            assert!(sent.len() > count * 8 / 10);
        }
    }

    #[test]
    fn a_rest_saves_up_no_more_than_the_burst() {
        let mut gcra = Gcra::new(Pace::every(SECOND).burst(2));
        let passed = (0..10).filter(|_| gcra.take(at(3_600_000)).is_ok()).count();
        assert_eq!(passed, 2);
    }

    #[test]
    fn what_time_has_given_back_is_not_given_back_again() {
        let mut gcra = Gcra::new(Pace::every(SECOND));
        let never_sent = gcra.take(at(0)).unwrap();
        let _sent = gcra.take(at(10_000)).unwrap();
        gcra.give_back(never_sent);
        assert_eq!(gcra.take(at(10_000)).unwrap_err(), at(11_000));
    }

    #[test]
    fn slots_that_moved_up_are_not_given_back_where_they_were() {
        let mut gcra = Gcra::new(Pace::every(SECOND).burst(2));
        let first = gcra.take(at(0)).unwrap();
        let second = gcra.take(at(0)).unwrap();
        gcra.give_back(first);
        let _sent = gcra.take(at(500)).unwrap();
        gcra.give_back(second);
        // Only one was sent, at 0.5 s: one more may go now, the next at 1.5 s.
        assert!(gcra.take(at(500)).is_ok());
        assert_eq!(gcra.take(at(500)).unwrap_err(), at(1_500));
    }

    #[test]
    fn no_pace_overflows() {
        for interval in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            let mut gcra = Gcra::new(Pace::every(interval).burst(u32::MAX));
            for now in [Tick::ZERO, Tick::MAX, at(1)] {
                if let Ok(charge) = gcra.take(now) {
                    gcra.give_back(charge);
                }
                let _ = gcra.take(now).map(drop);
            }
        }
    }
}
