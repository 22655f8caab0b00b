use std::time::Duration;

use crate::core::{Reason, Rejection};

/// Rounded up, so that a caller that waits for it does not come too early.
pub(super) struct Time(pub(super) Duration);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let seconds = self.0.as_secs().saturating_add(u64::from(self.0.subsec_nanos() > 0));
        match seconds {
            0..=119 => write!(f, "{seconds} s"),
            120..=7_199 => write!(f, "{} min", seconds.div_ceil(MINUTE)),
            _ => write!(f, "{} h", seconds.div_ceil(HOUR)),
        }
    }
}

/// What keeps a call from going, as far as it is the service's matter; `None`: it only waits in the queue.
pub(super) fn cause(rejection: &Rejection) -> Option<String> {
    let name = rejection.name();
    Some(match rejection.reason() {
        Reason::Open { .. } => format!("{name} is not responding"),
        Reason::Unhealthy => format!("{name} is unhealthy"),
        Reason::Probing => format!("{name} may have recovered and is being tested"),
        Reason::ForcedOpen => format!("calls of {name} are stopped by an operator"),
        Reason::Throttled => format!("{name} takes no more requests for now"),
        Reason::OverLimit { count, limit } => {
            format!("the limit is used up ({count} of {limit} calls)")
        }
        Reason::Exhausted { limit: 0, .. } => {
            format!("{name} rejects new sandboxes (all are in use)")
        }
        Reason::Exhausted { in_use, limit, .. } => {
            format!("{name} rejects new sandboxes ({in_use} of {limit} in use)")
        }
        _ => return None,
    })
}

/// With a capital at the beginning.
pub(super) fn sentence(text: String) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => text,
    }
}
