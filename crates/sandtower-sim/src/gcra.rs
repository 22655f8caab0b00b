//! The generic cell rate algorithm, and the header fields in which E2B tells about it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header::RETRY_AFTER};
use tokio::time::Instant;

use crate::plan::Rate;

/// One limiter's whole state: when it will be full again, if that is not yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gcra {
    full_at: Option<Instant>,
}

/// What a limiter said to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The wait until a request would pass; `None` when this one did.
    pub(crate) retry_after: Option<Duration>,
    limit: u32,
    remaining: u32,
    reset: Duration,
}

impl Gcra {
    /// Asks for one request at `now`; only one that passes costs anything.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Answer {
        let interval = nanos(rate.interval);
        let depth = interval.saturating_mul(u64::from(rate.burst.get()));
        let owed = self.full_at.map_or(0, |at| nanos(at.saturating_duration_since(now)));
        let after = owed.saturating_add(interval);
        let limit = rate.burst.get();
        if after > depth {
            let retry_after = Some(Duration::from_nanos(after - depth));
            let reset = Duration::from_nanos(owed);
            return Answer { retry_after, limit, remaining: 0, reset };
        }
        let reset = Duration::from_nanos(after);
        self.full_at = now.checked_add(reset);
        let remaining = (depth - after)
            .checked_div(interval)
            .map_or(limit, |left| u32::try_from(left).unwrap_or(u32::MAX));
        Answer { retry_after: None, limit, remaining, reset }
    }

    /// Whether forgetting this limiter changes nothing.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }
}

impl Answer {
    /// Writes the fields that E2B sends, on successes too. `Retry-After` is rounded down, but at
    /// least 1, as there: it may be up to a second short of when a request passes.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        let reset = self.reset.as_secs() + u64::from(self.reset.subsec_nanos() > 0);
        headers.insert(HeaderName::from_static("ratelimit-limit"), self.limit.into());
        headers.insert(HeaderName::from_static("ratelimit-remaining"), self.remaining.into());
        headers.insert(HeaderName::from_static("ratelimit-reset"), reset.into());
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn fields(answer: Answer) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        answer.write(&mut headers);
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    #[test]
    fn a_burst_passes_then_one_an_interval() {
        let start = clock::now();
        let rate = Rate::new(Duration::from_secs(2), 3);
        let mut gcra = Gcra::default();
        let remaining: Vec<_> = (0..3).map(|_| gcra.take(rate, start).remaining).collect();
        assert_eq!(remaining, [2, 1, 0]);
        assert_eq!(gcra.take(rate, start).retry_after, Some(Duration::from_secs(2)));
        let almost = start + Duration::from_nanos(1_999_999_999);
        assert_eq!(gcra.take(rate, almost).retry_after, Some(Duration::from_nanos(1)));
        assert_eq!(gcra.take(rate, start + Duration::from_secs(2)).retry_after, None);
        assert!(!gcra.is_full(start + Duration::from_millis(7_999)));
        assert!(gcra.is_full(start + Duration::from_secs(8)));
    }

    #[test]
    fn retry_after_is_floored_and_reset_is_ceiled() {
        let start = clock::now();
        let rate = Rate::new(Duration::from_millis(1900), 1);
        let mut gcra = Gcra::default();
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let passed =
            [("ratelimit-limit", "1"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "2")];
        assert_eq!(fields(gcra.take(rate, start)), pairs(&passed));
        let mut refused = vec![("retry-after", "1")];
        refused.extend(passed);
        assert_eq!(fields(gcra.take(rate, start)), pairs(&refused));
    }

    #[test]
    fn an_interval_of_zero_limits_nothing() {
        let start = clock::now();
        let mut gcra = Gcra::default();
        for _ in 0..100 {
            assert_eq!(gcra.take(Rate::new(Duration::ZERO, 1), start).retry_after, None);
        }
    }
}
