use std::time::Duration;

use sandtower_core::{Reason, Tick};
use tracing::{info, warn};

use crate::{State, Transition, snapshot::whole_millis};

/// The target of all events of breakers. Stable.
const TARGET: &str = "sandtower::circuit_breaker";

/// Writes a transition: a warning when the breaker opens, else information.
///
/// `retry_in_ms` is absent when the breaker rejects no call, or until an operator says otherwise.
pub(crate) fn moved(name: &str, moved: &Transition) {
    let &Transition { from, to, forced, failed, of, retry_in, rejected, .. } = moved;
    let (from, to) = (from.label(), to.label());
    let retry_in_ms = retry_in.map(whole_millis);
    match moved.to {
        State::Open => warn!(
            target: TARGET, name, from, to, forced, failed, of, retry_in_ms, rejected,
            "circuit breaker opened"
        ),
        State::HalfOpen => info!(
            target: TARGET, name, from, to, forced, failed, of, retry_in_ms, rejected,
            "circuit breaker half-open"
        ),
        State::Closed => info!(
            target: TARGET, name, from, to, forced, failed, of, retry_in_ms, rejected,
            "circuit breaker closed"
        ),
    }
}

/// Writes that `count` calls were rejected since the last such line.
pub(crate) fn rejected(name: &str, reason: Reason, count: u64) {
    info!(target: TARGET, name, reason = reason.label(), count, "circuit breaker rejected calls");
}

/// Writes that there is no room for more scopes.
pub(crate) fn scopes_full(name: &str, max_scopes: usize) {
    warn!(
        target: TARGET, name, max_scopes,
        "circuit breaker table full: new scopes share one circuit breaker"
    );
}

/// An open breaker may reject a thousand calls a second; one line in this time is enough.
const QUIET: Duration = Duration::from_secs(10);

/// Which rejections were written.
#[derive(Debug, Default)]
pub(crate) struct RejectionLog {
    unwritten: u64,
    next: Tick,
}

impl RejectionLog {
    /// A call was rejected. `Some`: write that so many were, since the last line.
    pub(crate) fn rejected(&mut self, now: Tick) -> Option<u64> {
        self.unwritten = self.unwritten.saturating_add(1);
        if now < self.next {
            return None;
        }
        self.next = now + QUIET;
        Some(std::mem::take(&mut self.unwritten))
    }
}
