use std::time::Duration;

use super::Message;
use super::words::{Time, cause, sentence};
use crate::admission::QueuePosition;
use crate::core::{Reason, Rejection};

impl From<&QueuePosition> for Message {
    /// The [time to wait](Message::retry_after) is the estimate until this call is admitted.
    fn from(standing: &QueuePosition) -> Self {
        let held_by = standing.held_by.as_ref();
        // The gate reports when the next call may be admitted.
        let free_in = held_by.and_then(Rejection::retry_after);
        let is_next = standing.ahead == 0;
        let held_by_pace =
            held_by.is_some_and(|it| matches!(it.reason(), Reason::OverLimit { .. }));
        let after = standing.wait.or(free_in.filter(|_| is_next || !held_by_pace));
        let text = match held_by.and_then(|held| Some((cause(held)?, held.reason()))) {
            Some((cause, Reason::Exhausted { .. })) => {
                format!("{cause}. Waiting for one to end; {}.", ahead(standing.ahead))
            }
            // Pacing is normal operation: only position and time matter to a user.
            Some((_, Reason::OverLimit { .. })) => position(standing.ahead, after),
            Some((cause, reason)) => {
                let ahead = match standing.ahead {
                    0 => String::new(),
                    others => format!(" {}.", sentence(ahead(others))),
                };
                format!("{cause}. {}.{ahead}", next(&reason, after))
            }
            None => position(standing.ahead, after),
        };
        Self::new(sentence(text), after)
    }
}

fn ahead(others: usize) -> String {
    match others {
        0 => String::from("you are next"),
        1 => String::from("1 request is ahead of you"),
        others => format!("{others} requests are ahead of you"),
    }
}

fn position(others: usize, wait: Option<Duration>) -> String {
    let position = match others {
        0 => String::from("you are next in the queue"),
        others => format!("you are {} in the queue", Ordinal(others.saturating_add(1))),
    };
    match wait {
        Some(wait) => format!("{position}; about {} left.", Time(wait)),
        None => format!("{position}."),
    }
}

fn next(reason: &Reason, after: Option<Duration>) -> String {
    let what = match reason {
        Reason::Open { .. } | Reason::Unhealthy | Reason::Probing | Reason::Recovering => {
            "Next attempt"
        }
        _ => "Continues",
    };
    match after {
        Some(after) => format!("{what} in {}", Time(after)),
        None => format!("{what} as soon as possible"),
    }
}

struct Ordinal(usize);

impl std::fmt::Display for Ordinal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ending = match (self.0 % 100, self.0 % 10) {
            (11..=13, _) => "th",
            (_, 1) => "st",
            (_, 2) => "nd",
            (_, 3) => "rd",
            _ => "th",
        };
        write!(f, "{}{ending}", self.0)
    }
}
