use std::ops::{Add, AddAssign};
use std::time::Duration;

/// An instant: nanoseconds since an origin that all clocks of a stack share.
///
/// Ticks of one origin compare; that is what lets the waiting room ask several gates "when?" and
/// believe the latest answer. Arithmetic saturates: an instant beyond [`Tick::MAX`] (584 years)
/// means "never".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The origin.
    pub const ZERO: Self = Self(0);
    /// An instant that never comes.
    pub const MAX: Self = Self(u64::MAX);

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

/// Tells the time.
///
/// All layers of a stack must read clocks with one origin. `sandtower_time::TokioClock` is the one
/// that the layers use; an engine takes `now` as an argument instead and reads none.
pub trait Clock {
    /// The present instant. Never earlier than one told before.
    fn now(&self) -> Tick;

    /// The instant at which a call begins: the one [handed down](Clock::hand_down) by the layer above,
    /// if it did so, else a reading. For a layer's `call` alone, and once in it.
    fn begin(&self) -> Tick {
        self.now()
    }

    /// Runs `below`, which calls the service below, and hands `now` down to the first layer in it that
    /// [begins](Clock::begin): on the way down all layers stand at one instant.
    ///
    /// It is taken once, on this thread, and before `below` returns; never by a future that is polled
    /// later. What no layer takes may be taken by the first call that the service itself makes before
    /// it returns from `call`: that one begins at the instant of the call around it, which is earlier
    /// by as long as the service blocked, or an instant of the runtime around if the service runs
    /// another one, with a clock of its own, within its `call`. Neither should.
    fn hand_down<T>(&self, _now: Tick, below: impl FnOnce() -> T) -> T
    where
        Self: Sized,
    {
        below()
    }
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> Tick {
        (**self).now()
    }

    fn begin(&self) -> Tick {
        (**self).begin()
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
    }
}
