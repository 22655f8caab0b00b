use std::cell::Cell;
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

    #[inline]
    fn begin(&self) -> Tick {
        HANDED_DOWN.take().unwrap_or_else(|| self.now())
    }

    #[inline]
    fn hand_down<T>(&self, now: Tick, below: impl FnOnce() -> T) -> T {
        HANDED_DOWN.set(Some(now));
        let _taken_back = TakenBack;
        below()
    }
}

thread_local! {
    /// From one layer to the next below, within one `call` of a thread. Who takes it leaves none: a
    /// service that makes calls of its own while it is called is not at that instant for ever.
    static HANDED_DOWN: Cell<Option<Tick>> = const { Cell::new(None) };
}

/// However the call below ends, what nobody took is not left to whatever this thread does next.
struct TakenBack;

impl Drop for TakenBack {
    #[inline]
    fn drop(&mut self) {
        HANDED_DOWN.set(None);
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

    const THEN: Tick = Tick::from_nanos(7);

    #[test]
    fn what_is_handed_down_is_taken_once() {
        let seen = TokioClock.hand_down(THEN, || (TokioClock.begin(), TokioClock.begin()));
        assert_eq!(seen.0, THEN);
        assert!(seen.1 > THEN, "the second has to look for itself");
    }

    #[test]
    fn only_who_begins_a_call_is_told() {
        assert!(TokioClock.hand_down(THEN, || TokioClock.now()) > THEN);
    }

    #[test]
    fn what_nobody_took_is_taken_back_even_from_a_call_that_panics() {
        TokioClock.hand_down(THEN, || ());
        assert!(TokioClock.begin() > THEN);
        let panicked = std::panic::catch_unwind(|| TokioClock.hand_down(THEN, || panic!("below")));
        assert!(panicked.is_err());
        assert!(TokioClock.begin() > THEN);
    }
}
