use super::Message;
use super::words::{Time, cause, sentence};
use crate::core::{Reason, Rejection};

impl From<&Rejection> for Message {
    fn from(rejection: &Rejection) -> Self {
        let after = rejection.retry_after();
        let text = match (cause(rejection), rejection.reason()) {
            (Some(cause), Reason::Exhausted { .. }) => {
                format!("{cause}. Try again when one has ended.")
            }
            (Some(cause), Reason::Open { .. } | Reason::Probing | Reason::Unhealthy) => match after
            {
                Some(after) => format!("{cause}. Next attempt in {}.", Time(after)),
                None => format!("{cause}. Try again later."),
            },
            (Some(cause), _) => format!("{cause}. {}", again(rejection)),
            (None, reason) => format!("{}. {}", our_own(&reason), again(rejection)),
        };
        Self::new(sentence(text), after)
    }
}

fn again(rejection: &Rejection) -> String {
    match rejection.retry_after() {
        Some(after) => format!("Try again in {}.", Time(after)),
        None => String::from("Try again later."),
    }
}

/// A cause on our side.
fn our_own(reason: &Reason) -> String {
    match reason {
        Reason::Full { limit } => format!("{limit} calls are running already, the most at a time"),
        Reason::QueueFull { waiting: 1 } => String::from("another call is waiting already"),
        Reason::QueueFull { waiting } => format!("too many calls are waiting already ({waiting})"),
        Reason::TooLate { waited } => {
            format!("your request waited for {} and was not served in time", Time(*waited))
        }
        Reason::NoTime { wait } => {
            format!("your request would have to wait about {}, which is too long", Time(*wait))
        }
        Reason::Draining => String::from("this service is shutting down"),
        _ => String::from("this is not possible at the moment"),
    }
}
