use sandtower_core::Reason;
use tracing::{info, warn};

use crate::{State, Transition, snapshot::whole_millis};

/// The target of all events of breakers. Stable.
const TARGET: &str = "sandtower::circuit_breaker";

/// Writes a transition: a warning when the breaker opens, else information.
///
/// `retry_in_ms` is absent when the breaker rejects no call, or until an operator says otherwise. In
/// `shadow` mode it only would reject calls.
pub(crate) fn moved(name: &str, moved: &Transition, shadow: bool) {
    let &Transition { from, to, forced, failed, of, retry_in, rejected, .. } = moved;
    let (from, to) = (from.label(), to.label());
    let retry_in_ms = retry_in.map(whole_millis);
    match moved.to {
        State::Open => warn!(
            target: TARGET, name, from, to, forced, failed, of, retry_in_ms, rejected, shadow,
            "circuit breaker opened"
        ),
        State::HalfOpen => info!(
            target: TARGET, name, from, to, forced, failed, of, retry_in_ms, rejected, shadow,
            "circuit breaker half-open"
        ),
        State::Closed => info!(
            target: TARGET, name, from, to, forced, failed, of, retry_in_ms, rejected, shadow,
            "circuit breaker closed"
        ),
    }
}

/// Writes that `count` calls were rejected since the last such line.
pub(crate) fn rejected(name: &str, reason: Reason, count: u64) {
    info!(target: TARGET, name, reason = reason.label(), count, "circuit breaker rejected calls");
}

/// Writes that `count` calls were let through in shadow mode since the last such line.
pub(crate) fn would_have_rejected(name: &str, reason: Reason, count: u64) {
    info!(
        target: TARGET, name, reason = reason.label(), count,
        "circuit breaker would have rejected calls"
    );
}

/// Writes that there is no room for more scopes.
pub(crate) fn scopes_full(name: &str, max_scopes: usize) {
    warn!(
        target: TARGET, name, max_scopes,
        "circuit breaker table full: new scopes share one circuit breaker"
    );
}
