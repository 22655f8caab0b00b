use std::sync::OnceLock;
use std::time::Duration;

use sandtower_core::{Clock, Tick};
use tokio::time::Instant;

/// Reads tokio's clock. Costs one reading of the system's monotonic clock and nothing else.
///
/// ```
/// use sandtower_core::Clock;
/// use sandtower_time::TokioClock;
///
/// let earlier = TokioClock.now();
/// assert!(TokioClock.now() >= earlier);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokioClock;

impl Clock for TokioClock {
    #[inline]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> Tick {
        let since = Instant::now().saturating_duration_since(origin());
        // The sum in 64 bits holds for 584 years; by way of a `Duration` it costs a tenth more.
        Tick::from_nanos(since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos()))
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
