use tracing::{info, warn};

use crate::{State, Transition, snapshot::whole_millis};

/// The target of all events of breakers. Stable.
const TARGET: &str = "sandtower::circuit_breaker";

/// Tells of a change of state: a warning when the breaker opens, information when it does not.
///
/// `retry_in_ms` is absent when the breaker rejects nobody, or until an operator says otherwise.
pub(crate) fn moved(name: &str, moved: &Transition) {
    let &Transition { from, to, forced, failed, of, retry_in, .. } = moved;
    let (from, to) = (from.label(), to.label());
    let retry_in_ms = retry_in.map(whole_millis);
    if moved.to == State::Open {
        warn!(target: TARGET, name, from, to, forced, failed, of, retry_in_ms, "opened");
    } else {
        info!(target: TARGET, name, from, to, forced, failed, of, retry_in_ms, "changed its state");
    }
}
