use std::time::Duration;

use sandtower_core::Tick;

/// Buckets in a window: one is 1.6 % of it.
const PARTS: usize = 64;

/// The buckets of a whole window and the one that has only begun.
const SLOTS: u64 = PARTS as u64 + 1;

/// Counts what happened within the last hour, or any other span: pure, in constant memory.
///
/// Exact to one bucket of a 64th of the window, and always on the high side: what lies partly
/// outside counts in full, so a limit kept by this count is never exceeded, on no two windows'
/// edge. Buckets are aligned to the first record, not to any clock: the same records give the same
/// counts whenever they are made.
///
/// Time begins with the first record. From there on the latest instant that it was given stands: one
/// that lies before it is taken for it.
///
/// ```
/// use std::time::Duration;
/// use sandtower_core::Tick;
/// use sandtower_rate_limit::Window;
///
/// let mut window = Window::new(Duration::from_secs(60));
/// window.add(Tick::ZERO);
/// assert_eq!(window.count(Tick::ZERO + Duration::from_secs(60)), 1);
/// assert_eq!(window.count(Tick::ZERO + Duration::from_secs(61)), 0);
/// ```
#[derive(Debug)]
pub struct Window {
    /// Of one bucket, in nanoseconds; never 0.
    width: u64,
    /// When the first record was made; where bucket 0 begins.
    origin: Option<u64>,
    /// The number of the latest bucket. The first is numbered [`SLOTS`], so that a record of
    /// another process, from before the first of this one, has a number too.
    latest: u64,
    /// When the latest bucket ends.
    ends: u64,
    /// The sum of all slots.
    total: u64,
    /// The latest buckets, each in the slot of its number modulo their number.
    slots: [u64; SLOTS as usize],
}

/// A record in a [`Window`], to be taken back if what was recorded never happened.
#[derive(Debug)]
#[must_use = "what was recorded and did not happen has to be given back"]
pub struct Recorded(u64);

impl Window {
    /// A window over the last `span`, rounded up to a multiple of 64 ns. Spans beyond 584 years are
    /// cut to them.
    pub fn new(span: Duration) -> Self {
        let width = nanos(span).div_ceil(PARTS as u64).max(1);
        Self { width, origin: None, latest: 0, ends: 0, total: 0, slots: [0; SLOTS as usize] }
    }

    /// How far back a record can lie at most and still be counted beyond the span: one bucket.
    pub fn resolution(&self) -> Duration {
        Duration::from_nanos(self.width)
    }

    /// Records one at `now`.
    #[inline]
    pub fn add(&mut self, now: Tick) -> Recorded {
        self.begin(now);
        *self.slot(self.latest) += 1;
        self.total += 1;
        Recorded(self.latest)
    }

    /// Counts `count` more, or fewer if it is negative, of what happened `ago` before `now`: records
    /// of another process, from before this one began if need be.
    pub(crate) fn add_past(&mut self, now: Tick, ago: Duration, count: i64) {
        let Some(bucket) = self.bucket_of(now, ago) else { return };
        let more = u64::try_from(count).unwrap_or(0);
        let slot = self.slot(bucket);
        let fewer = count.unsigned_abs().min(*slot);
        if count < 0 {
            *slot -= fewer;
            self.total = self.total.saturating_sub(fewer);
        } else {
            *slot = slot.saturating_add(more);
            self.total = self.total.saturating_add(more);
        }
    }

    /// The bucket of what happened `ago` before `now`; `None` if it has left the window.
    fn bucket_of(&mut self, now: Tick, ago: Duration) -> Option<u64> {
        self.begin(now);
        let since = now.as_nanos().saturating_sub(self.origin?);
        // A duration has at most 94 bits of nanoseconds.
        let position = i128::from(since) - ago.as_nanos() as i128;
        let bucket = i128::from(SLOTS) + position.div_euclid(i128::from(self.width));
        let bucket = u64::try_from(bucket).ok()?.min(self.latest);
        (self.latest - bucket < SLOTS).then_some(bucket)
    }

    fn begin(&mut self, now: Tick) {
        if self.origin.is_none() {
            self.origin = Some(now.as_nanos());
            self.latest = SLOTS;
            self.ends = now.as_nanos().saturating_add(self.width);
        }
        self.advance(now);
    }

    /// Takes a record back: it is not counted any more, as if it had never been made. One that has
    /// left the window by itself is forgotten already.
    pub fn give_back(&mut self, recorded: Recorded) {
        let Recorded(bucket) = recorded;
        if self.latest.saturating_sub(bucket) < SLOTS {
            let slot = self.slot(bucket);
            // Only a record of another window could find its slot empty.
            if let Some(less) = slot.checked_sub(1) {
                *slot = less;
                self.total -= 1;
            }
        }
    }

    /// How many were recorded within the span that ends at `now`.
    #[inline]
    pub fn count(&mut self, now: Tick) -> u64 {
        self.advance(now);
        self.total
    }

    /// When the count falls below `bound` if nothing is added: `now` if it is there already,
    /// [`Tick::MAX`] if that is never, as for a bound of 0.
    pub fn falls_below(&mut self, bound: u64, now: Tick) -> Tick {
        self.advance(now);
        let mut left = self.total;
        if left < bound {
            return now;
        }
        for bucket in self.latest.saturating_sub(PARTS as u64)..=self.latest {
            left = left.saturating_sub(*self.slot(bucket));
            if left < bound {
                return self.begin_of(bucket.saturating_add(SLOTS));
            }
        }
        Tick::MAX
    }

    #[inline]
    fn advance(&mut self, now: Tick) {
        let now = now.as_nanos();
        let Some(origin) = self.origin else { return };
        if now < self.ends {
            return;
        }
        let bucket = SLOTS.saturating_add((now - origin) / self.width);
        if bucket - self.latest >= SLOTS {
            self.slots.fill(0);
            self.total = 0;
        } else if self.total > 0 {
            for passed in self.latest + 1..=bucket {
                let gone = std::mem::take(self.slot(passed));
                self.total -= gone;
            }
        }
        self.latest = bucket;
        self.ends = self.begin_of(bucket.saturating_add(1)).as_nanos();
    }

    fn begin_of(&self, bucket: u64) -> Tick {
        let offset = bucket.saturating_sub(SLOTS).saturating_mul(self.width);
        Tick::from_nanos(self.origin.unwrap_or(0).saturating_add(offset))
    }

    #[inline]
    fn slot(&mut self, bucket: u64) -> &mut u64 {
        &mut self.slots[(bucket % SLOTS) as usize]
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> Tick {
        Tick::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_was_counted_before_the_first_record() {
        let mut window = Window::new(HOUR);
        assert_eq!(window.count(Tick::MAX), 0);
        assert_eq!(window.falls_below(1, at(7)), at(7));
    }

    #[test]
    fn a_record_counts_for_the_window_and_at_most_a_bucket_more() {
        let mut window = Window::new(HOUR);
        let _ = window.add(at(10));
        assert_eq!(window.count(at(10 + 3600)), 1);
        assert_eq!(window.count(at(10 + 3600) + window.resolution()), 0);
    }

    #[test]
    fn a_bucket_is_at_most_two_percent_of_the_window() {
        for window in [Duration::from_millis(1), Duration::from_secs(30), HOUR] {
            assert!(Window::new(window).resolution() <= window / 50);
        }
    }

    #[test]
    fn the_count_falls_when_it_was_said_to_and_no_nanosecond_sooner() {
        let mut window = Window::new(HOUR);
        for second in [0, 600, 1200] {
            let _ = window.add(at(second));
        }
        let when = window.falls_below(2, at(1200));
        let before = Tick::from_nanos(when.as_nanos() - 1);
        assert_eq!(window.count(before), 2);
        assert_eq!(window.count(when), 1);
    }

    #[test]
    fn a_count_never_falls_below_nothing() {
        assert_eq!(Window::new(HOUR).falls_below(0, at(1)), Tick::MAX);
    }

    #[test]
    fn a_record_given_back_was_never_made() {
        let mut window = Window::new(HOUR);
        let first = window.add(at(0));
        let _ = window.add(at(1));
        window.give_back(first);
        assert_eq!(window.count(at(1)), 1);
        assert_eq!(window.count(at(2 * 3600)), 0);
    }

    #[test]
    fn a_record_given_back_after_it_has_left_takes_nothing_from_later_ones() {
        let mut window = Window::new(HOUR);
        let old = window.add(at(0));
        let later = at(0) + window.resolution() * SLOTS as u32;
        let _ = window.add(later);
        window.give_back(old);
        assert_eq!(window.count(later), 1);
    }

    #[test]
    fn time_that_runs_backwards_stands_still() {
        let mut window = Window::new(HOUR);
        let _ = window.add(at(10_000));
        let _ = window.add(at(3));
        assert_eq!(window.count(at(5)), 2);
        assert_eq!(window.count(at(10_000 + 3601)), 2);
    }

    #[test]
    fn a_record_from_before_the_process_began_leaves_when_it_would_have() {
        for span in [Duration::from_secs(60), HOUR, HOUR * 24 * 7, HOUR * 24 * 365] {
            for parts in [0, 1, 31, 63] {
                let mut window = Window::new(span);
                let (now, ago) = (Tick::ZERO + Duration::from_secs(1), span / 64 * parts);
                window.add_past(now, ago, 5);
                assert_eq!(window.count(now), 5, "{span:?} {parts}");
                assert_eq!(window.count(now + (span - ago) / 2), 5, "{span:?} {parts}");
                let gone = now + (span - ago) + window.resolution() * 2;
                assert_eq!(window.count(gone), 0, "{span:?} {parts}");
            }
        }
    }

    #[test]
    fn what_others_took_back_is_not_counted_and_never_makes_the_count_negative() {
        let mut window = Window::new(HOUR);
        window.add_past(at(5), HOUR / 2, 5);
        window.add_past(at(5), HOUR / 2, -3);
        assert_eq!(window.count(at(5)), 2);
        window.add_past(at(5), HOUR / 2, i64::MIN);
        assert_eq!(window.count(at(5)), 0);
        for ago in [HOUR * 2, Duration::MAX] {
            window.add_past(at(5), ago, i64::MAX);
            assert_eq!(window.count(at(5)), 0, "it has left the window already");
        }
        window.add_past(at(5), HOUR / 2, 5);
        window.add_past(at(5), HOUR / 2, -3);
        let _ = window.add(at(6));
        assert_eq!(window.count(at(5) + HOUR / 2 + window.resolution() * 2), 1);
    }

    #[test]
    fn no_window_and_no_jump_of_time_overflows() {
        for span in [Duration::from_millis(1), HOUR, Duration::MAX] {
            let mut window = Window::new(span);
            for now in [Tick::MAX, Tick::ZERO, Tick::from_nanos(u64::MAX - 1), Tick::MAX] {
                let _ = window.add(now);
                let _ = window.count(now);
                let _ = window.falls_below(1, now);
                window.add_past(now, Duration::MAX, i64::MAX);
            }
            assert_eq!(window.count(Tick::MAX), 4);
        }
    }
}
