use std::time::Duration;

use sandtower_core::Tick;

/// The most kinds that are distinguished. Further ones share a row.
const MOST_KINDS: usize = 32;

/// The kind of a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) event: &'static str,
    /// The outcome of the attempt or the call.
    pub(super) outcome: &'static str,
    /// The status of the response; 0: none.
    pub(super) status: u16,
}

/// Logs the first warning of a kind and then one per interval, with the number of those suppressed in
/// between: an outage does not flood the log.
#[derive(Debug)]
pub(super) struct Limiter {
    every: Duration,
    kinds: Vec<(Kind, Tick, u64)>,
}

impl Limiter {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, kinds: Vec::new() }
    }

    /// How many of this kind were suppressed since the last one; `None`: suppress this one, too.
    pub(super) fn tell(&mut self, kind: Kind, now: Tick) -> Option<u64> {
        let known = self.kinds.iter().position(|(known, ..)| *known == kind);
        let at = match known {
            Some(at) => at,
            None if self.kinds.len() < MOST_KINDS => {
                self.kinds.push((kind, now, 0));
                return Some(0);
            }
            None => self.kinds.len() - 1,
        };
        let (_, logged, left_out) = &mut self.kinds[at];
        if now.since(*logged) < self.every {
            *left_out += 1;
            return None;
        }
        *logged = now;
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    fn kind(status: u16) -> Kind {
        Kind { event: "failure", outcome: "transient", status }
    }

    fn at(seconds: u64) -> Tick {
        Tick::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn the_first_of_a_kind_is_logged_and_then_one_per_interval_with_a_count() {
        let mut limiter = Limiter::new(EVERY);
        assert_eq!(limiter.tell(kind(500), at(0)), Some(0));
        assert_eq!(limiter.tell(kind(500), at(1)), None);
        assert_eq!(limiter.tell(kind(500), at(9)), None);
        assert_eq!(limiter.tell(kind(503), at(9)), Some(0), "another kind");
        assert_eq!(limiter.tell(kind(500), at(10)), Some(2));
        assert_eq!(limiter.tell(kind(500), at(11)), None);
        assert_eq!(limiter.tell(kind(500), at(100)), Some(1));
    }

    #[test]
    fn memory_is_bounded_and_every_warning_is_counted() {
        let mut limiter = Limiter::new(EVERY);
        let (mut logged, mut left_out) = (0, 0);
        for status in 0..1_000 {
            if let Some(before) = limiter.tell(kind(status), at(0)) {
                (logged, left_out) = (logged + 1, left_out + before);
            }
        }
        assert_eq!(limiter.kinds.len(), MOST_KINDS);
        left_out += limiter.kinds.iter().map(|(.., left_out)| left_out).sum::<u64>();
        assert_eq!(logged + left_out, 1_000);
    }
}
