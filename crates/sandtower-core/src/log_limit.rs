use std::time::Duration;

use crate::Tick;

/// An event that may be due a thousand times a second; one line in this time is enough.
const QUIET: Duration = Duration::from_secs(10);

/// Limits an event to one line in 10 s, and counts what was not logged meanwhile.
///
/// ```
/// use std::time::Duration;
/// use sandtower_core::{LogLimit, Tick};
///
/// let (mut limit, start) = (LogLimit::default(), Tick::ZERO + Duration::from_secs(1));
/// assert_eq!(limit.count(start), Some(1));
/// assert_eq!(limit.count(start + Duration::from_secs(3)), None);
/// assert_eq!(limit.count(start + Duration::from_secs(10)), Some(2));
/// ```
#[derive(Clone, Debug, Default)]
pub struct LogLimit {
    unwritten: u64,
    next: Tick,
}

impl LogLimit {
    /// Counts one more at `now`. `Some`: log a line, and that it stands for this many since the line
    /// before.
    pub fn count(&mut self, now: Tick) -> Option<u64> {
        self.unwritten = self.unwritten.saturating_add(1);
        if now < self.next {
            return None;
        }
        self.next = now + QUIET;
        Some(std::mem::take(&mut self.unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_ten_seconds_stands_for_all_since_the_line_before() {
        let mut limit = LogLimit::default();
        let mut count =
            |millis: u64| limit.count(Tick::ZERO + Duration::from_millis(50_000 + millis));
        assert_eq!([0, 1, 5_000, 9_999].map(&mut count), [Some(1), None, None, None]);
        assert_eq!([10_000, 19_999, 60_000].map(&mut count), [Some(4), None, Some(2)]);
    }
}
