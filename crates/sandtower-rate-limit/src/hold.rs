use std::time::Duration;

use sandtower_core::{Allowance, Outcome, Reason, Settlement, Tick};

/// Servers cut `Retry-After` to whole seconds: who comes back on the second comes up to one second
/// too early.
const CUT_OFF: Duration = Duration::from_secs(1);

/// How long a server wants to be left alone with one operation.
#[derive(Debug)]
pub(crate) struct Hold {
    until: Tick,
    reason: Reason,
}

impl Default for Hold {
    fn default() -> Self {
        Self { until: Tick::ZERO, reason: Reason::Throttled }
    }
}

impl Hold {
    /// Learns from what came of an attempt, never to hold longer than `at_most`. Says how much
    /// longer it holds now, if that is longer.
    pub(crate) fn learn(&mut self, settlement: &Settlement, at_most: Duration) -> Option<Duration> {
        let told = settlement.verdict.allowance;
        let throttled = match settlement.verdict.outcome {
            Outcome::Throttled => {
                let wait = settlement.verdict.retry_after.unwrap_or_default();
                settlement.now + wait.saturating_add(CUT_OFF).min(at_most)
            }
            _ => Tick::ZERO,
        };
        let used_up = match told {
            // A server counts an attempt when it arrives. By the time a long one is answered, what
            // was used up then may be back: measured from the answer, every success would cost time.
            Some(allowance) if allowance.remaining == 0 => {
                settlement.sent + one_back(allowance).min(at_most)
            }
            _ => Tick::ZERO,
        };
        let until = throttled.max(used_up);
        if until <= self.until.max(settlement.now) {
            return None;
        }
        self.until = until;
        self.reason = match told {
            Some(Allowance { limit, .. }) if used_up > throttled => {
                Reason::OverLimit { count: limit, limit }
            }
            _ => Reason::Throttled,
        };
        Some(until.since(settlement.now))
    }

    /// Why nothing may be sent.
    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    /// Until when nothing may be sent, if that is not over.
    pub(crate) fn until(&self, now: Tick) -> Option<Tick> {
        (now < self.until).then_some(self.until)
    }
}

/// The time until the first of an allowance that is used up is back: it comes back evenly.
fn one_back(allowance: Allowance) -> Duration {
    let limit = u128::from(allowance.limit.max(1));
    let nanos = allowance.reset.as_nanos().div_ceil(limit);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandtower_core::Verdict;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Tick {
        Tick::ZERO + Duration::from_secs(seconds)
    }

    /// Until when a hold lasts after `verdict` on an attempt sent at 10 s and answered at 13 s.
    fn held(verdict: Verdict) -> Option<Tick> {
        let mut hold = Hold::default();
        let told = hold.learn(&Settlement::new(verdict, at(10), at(13)), MINUTE);
        assert_eq!(told, hold.until(at(13)).map(|until| until.since(at(13))));
        hold.until(at(13))
    }

    #[test]
    fn a_server_that_throttles_is_left_alone_a_second_longer_than_it_asked() {
        assert_eq!(held(Verdict::throttled().retry_after(Duration::from_secs(7))), Some(at(21)));
        assert_eq!(held(Verdict::throttled()), Some(at(14)));
    }

    #[test]
    fn no_server_can_ask_for_more_than_the_longest_hold() {
        assert_eq!(held(Verdict::throttled().retry_after(Duration::MAX)), Some(at(73)));
    }

    #[test]
    fn a_used_up_allowance_holds_until_one_is_back_counted_from_the_send() {
        let told = |limit, remaining, reset| {
            let allowance = Allowance::new(limit, remaining, Duration::from_secs(reset));
            held(Verdict::success().allowance(allowance))
        };
        assert_eq!(told(2, 0, 10), Some(at(15)));
        assert_eq!(told(2, 1, 10), None);
        assert_eq!(told(5, 0, 1), None);
        assert_eq!(told(0, 0, 20), Some(at(30)));
    }

    #[test]
    fn neither_a_success_nor_a_cut_attempt_holds() {
        assert_eq!(held(Verdict::success()), None);
        assert_eq!(held(Verdict::cancelled()), None);
    }

    #[test]
    fn a_later_and_milder_word_shortens_no_hold() {
        let mut hold = Hold::default();
        let stern = Verdict::throttled().retry_after(Duration::from_secs(30));
        hold.learn(&Settlement::new(stern, at(0), at(0)), MINUTE);
        hold.learn(&Settlement::new(Verdict::throttled(), at(0), at(1)), MINUTE);
        assert_eq!(hold.until(at(1)), Some(at(31)));
        assert_eq!(hold.until(at(31)), None);
    }
}
