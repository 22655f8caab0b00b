use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sandtower_core::{Explanation, Outcome, RequestInfo, Tick};

/// The most events in [`SPAN`]: an outage rejects calls by the thousand.
const MOST: u32 = 10;
const SPAN: Duration = Duration::from_secs(1);

/// Logs calls that are slow or rejected, and not too many of them.
#[derive(Debug, Default)]
pub(super) struct Events(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    since: Tick,
    logged: u32,
    suppressed: u64,
}

impl Counted {
    /// Whether one more event is logged, and if so, how many were left out before it.
    fn admit(&mut self, now: Tick) -> Option<u64> {
        if now.since(self.since) >= SPAN {
            (self.since, self.logged) = (now, 0);
        }
        if self.logged == MOST {
            self.suppressed += 1;
            return None;
        }
        self.logged += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

impl Events {
    pub(super) fn call_ended(&self, info: &RequestInfo, call: &Explanation, slow: Duration) {
        let is_rejected = call.outcome() == Outcome::Rejected;
        // An open-ended call takes as long as the program that it runs.
        let is_slow = call.total() > slow && !info.open_ended;
        if !is_rejected && !is_slow {
            return;
        }
        let admitted = {
            let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            counted.admit(Tick::now())
        };
        let Some(suppressed) = admitted else { return };
        let (operation, outcome) = (info.operation.name(), call.outcome().label());
        let took_ms = u64::try_from(call.total().as_millis()).unwrap_or(u64::MAX);
        let explanation = call.to_string();
        if is_rejected {
            tracing::info!(
                target: "sandtower::explain",
                operation, outcome, took_ms, explanation, suppressed, "rejected call"
            );
        } else {
            tracing::info!(
                target: "sandtower::explain",
                operation, outcome, took_ms, explanation, suppressed, "slow call"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_logged() {
        let (mut counted, now) = (Counted::default(), Tick::from_nanos(5_000_000_000));
        let logged = (0..100).filter(|_| counted.admit(now).is_some()).count();
        assert_eq!(logged, 10);
        assert_eq!(counted.admit(now + SPAN), Some(90));
        assert_eq!(counted.admit(now + SPAN), Some(0));
    }
}
