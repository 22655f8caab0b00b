use std::cell::Cell;
use std::ops::{Add, AddAssign};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

/// An instant: nanoseconds since an origin that the whole process shares.
///
/// Any two ticks compare, which is what lets admission control ask several gates "when?" and take
/// the latest reading. Arithmetic saturates, where std's `Instant` panics: an instant beyond
/// [`Tick::MAX`] (584 years) means "never".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The origin.
    pub const ZERO: Self = Self(0);
    /// An instant that never comes.
    pub const MAX: Self = Self(u64::MAX);

    /// The present instant by tokio's clock: under a paused clock it stands still. Costs one reading
    /// of the system's monotonic clock.
    ///
    /// ```
    /// use sandtower_core::Tick;
    ///
    /// let earlier = Tick::now();
    /// assert!(Tick::now() >= earlier);
    /// ```
    #[inline]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn now() -> Self {
        let since = Instant::now().saturating_duration_since(origin());
        // The sum in 64 bits holds for 584 years; by way of a `Duration` it costs a tenth more.
        Self(since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos()))
    }

    /// The instant `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero when `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Tick {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// The instant of one decision, read from the clock when it is first needed and at most once.
///
/// Reading the clock is what a call through a gate costs most, and a closed breaker needs no time at
/// all; whoever else looks at the same `Now` sees the same instant.
///
/// ```
/// use sandtower_core::{Now, Tick};
///
/// let now = Now::new();
/// assert_eq!(now.tick(), now.tick());
/// assert_eq!(Now::at(Tick::ZERO).tick(), Tick::ZERO);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Now(Cell<Option<Tick>>);

impl Now {
    /// The instant at which [`tick`](Self::tick) is first called.
    pub const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// The instant `tick`: for tests, and where the clock has been read already.
    pub const fn at(tick: Tick) -> Self {
        Self(Cell::new(Some(tick)))
    }

    /// The instant.
    #[inline]
    pub fn tick(&self) -> Tick {
        match self.0.get() {
            Some(tick) => tick,
            None => {
                let tick = Tick::now();
                self.0.set(Some(tick));
                tick
            }
        }
    }
}

impl From<Tick> for Now {
    fn from(tick: Tick) -> Self {
        Self::at(tick)
    }
}

/// The instant of tick 0.
///
/// A runtime whose clock was paused before the first reading stands at an instant before that
/// reading. A day is put in front so that its ticks do not all saturate to 0.
#[inline]
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "the origin is real time, not any runtime's")]
    *ORIGIN.get_or_init(|| {
        let now = std::time::Instant::now();
        Instant::from_std(now.checked_sub(Duration::from_secs(86_400)).unwrap_or(now))
    })
}

/// Tokio's name for `tick`; `None` if it never comes.
pub(crate) fn instant(tick: Tick) -> Option<Instant> {
    match tick {
        Tick::MAX => None,
        tick => origin().checked_add(tick.since(Tick::ZERO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Tick::MAX + Duration::from_secs(1), Tick::MAX);
        assert_eq!(Tick::ZERO + Duration::MAX, Tick::MAX);
        assert_eq!(Tick::ZERO.since(Tick::MAX), Duration::ZERO);
        assert_eq!((Tick::ZERO + Duration::from_nanos(7)).as_nanos(), 7);
        assert_eq!(Tick::from_nanos(u64::MAX), Tick::MAX);
    }

    #[test]
    fn a_now_is_read_once_and_not_before_it_is_needed() {
        let now = Now::new();
        let before = Tick::now();
        let first = now.tick();
        assert!(first >= before, "it was read before it was needed");
        assert_eq!(now.tick(), first);
    }
}
