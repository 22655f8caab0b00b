//! The one place that reads the clock.

use std::time::Duration;

use tokio::time::Instant;

/// Tokio's clock: it stands still when a test pauses it, and then jumps to the next timer.
#[expect(
    clippy::disallowed_methods,
    reason = "the simulator stands in for a server, which has its own clock; this is its one reading"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What stands for never.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The moment `wait` after `start`; one that no clock can count to is a century away.
pub(crate) fn after(start: Instant, wait: Duration) -> Instant {
    start + wait.min(CENTURY)
}
