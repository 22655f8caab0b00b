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

/// Why a call cannot be sent, if the service is the cause; `None`: it only waits in the queue.
pub(super) fn cause(rejection: &Rejection) -> Option<String> {
    let name = rejection.name();
    Some(match rejection.reason() {
        Reason::Open { .. } => format!("{name} is not responding"),
        Reason::Unhealthy => format!("{name} is unhealthy"),
        Reason::Probing => format!("{name} may have recovered and is being tested"),
        Reason::Recovering => format!("{name} has recovered and accepts calls step by step"),
        Reason::ForcedOpen => format!("calls to {name} are stopped by an operator"),
        Reason::Throttled => format!("{name} accepts no more requests at the moment"),
        Reason::OverLimit { count, limit } => {
            format!("the limit is reached ({count} of {limit} calls)")
        }
        Reason::Exhausted { limit: 0, .. } => String::from("all sandboxes are in use"),
        Reason::Exhausted { in_use, limit, .. } => {
            format!("all sandboxes are in use ({in_use} of {limit})")
        }
        _ => return None,
    })
}

/// Capitalises the first letter.
pub(super) fn sentence(text: String) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => text,
    }
}
