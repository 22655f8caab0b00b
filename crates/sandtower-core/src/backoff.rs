use std::time::Duration;

use fastrand::Rng;

/// How long to wait before each retry: a schedule, without state.
///
/// Retries are numbered from 0. No delay is ever above the cap, whatever the number.
///
/// ```
/// use std::time::Duration;
/// use sandtower_core::{Backoff, Seed};
///
/// let backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(10));
/// let delays: Vec<_> = backoff.delays(Seed::fixed(1).rng()).take(5).map(|d| d.as_secs()).collect();
/// assert_eq!(delays, [1, 2, 4, 8, 10]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    growth: Growth,
    jitter: Jitter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jitter {
    None,
    /// The last quarter of each delay is drawn.
    Quarter,
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    Constant,
    Doubling,
}

impl Backoff {
    /// `base`, then double each time, at most `cap`.
    pub const fn exponential(base: Duration, cap: Duration) -> Self {
        Self { base, cap, growth: Growth::Doubling, jitter: Jitter::None }
    }

    /// Always `delay`.
    pub const fn constant(delay: Duration) -> Self {
        Self { base: delay, cap: delay, growth: Growth::Constant, jitter: Jitter::None }
    }

    /// Draws each delay evenly from zero to what it would have been ("full jitter"; Brooker,
    /// "Exponential Backoff And Jitter", 2015): callers that failed together do not come back
    /// together.
    #[must_use]
    pub const fn full_jitter(mut self) -> Self {
        self.jitter = Jitter::Full;
        self
    }

    /// Draws the last quarter of each delay, unless [all of it](Self::full_jitter) is drawn: about the
    /// schedule that was asked for, yet callers that failed together do not come back together.
    #[must_use]
    pub const fn jitter(mut self) -> Self {
        if matches!(self.jitter, Jitter::None) {
            self.jitter = Jitter::Quarter;
        }
        self
    }

    /// The most that may be waited before retry number `retry`.
    pub fn bound(&self, retry: u32) -> Duration {
        let grown = match self.growth {
            Growth::Constant => Some(self.base),
            // A cap fits 94 bits of nanoseconds: beyond 2^96 nothing but the cap is left.
            Growth::Doubling if retry < 96 => {
                let factor = 1_u128 << retry;
                match self.base.as_nanos().checked_mul(factor) {
                    Some(nanos) if nanos < self.cap.as_nanos() => Some(from_nanos(nanos)),
                    _ => None,
                }
            }
            Growth::Doubling if self.base.is_zero() => Some(Duration::ZERO),
            Growth::Doubling => None,
        };
        grown.unwrap_or(self.cap).min(self.cap)
    }

    /// The delay before retry number `retry`.
    pub fn delay(&self, retry: u32, rng: &mut Rng) -> Duration {
        let bound = self.bound(retry);
        let nanos = bound.as_nanos();
        match self.jitter {
            Jitter::None => bound,
            Jitter::Quarter => from_nanos(rng.u128(nanos - nanos / 4..=nanos)),
            Jitter::Full => from_nanos(rng.u128(0..=nanos)),
        }
    }

    /// All delays, from the first retry on. Never ends.
    pub fn delays(self, rng: Rng) -> Delays {
        Delays { backoff: self, retry: 0, rng }
    }
}

fn from_nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    let seconds = u64::try_from(nanos / SECOND).unwrap_or(u64::MAX);
    let rest = u32::try_from(nanos % SECOND).unwrap_or(0);
    Duration::new(seconds, rest)
}

/// The delays of a [`Backoff`], one after the other.
#[derive(Clone, Debug)]
pub struct Delays {
    backoff: Backoff,
    retry: u32,
    rng: Rng,
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let delay = self.backoff.delay(self.retry, &mut self.rng);
        self.retry = self.retry.saturating_add(1);
        Some(delay)
    }
}
