use std::time::Duration;

use sandtower_core::Rng;
use sandtower_core::settings::duration;
use serde::{Deserialize, Serialize};

/// How long a breaker stays open, as it is configured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected a time such as \"60s\", or `{ first = \"1s\", most = \"10s\" }`"
)]
pub(crate) enum OpenFor {
    Exactly(#[serde(with = "duration")] Duration),
    /// Each time for longer, and drawn.
    Between {
        #[serde(with = "duration")]
        first: Duration,
        #[serde(with = "duration")]
        most: Duration,
    },
}

impl OpenFor {
    pub(crate) fn bounds(self) -> (Duration, Duration) {
        match self {
            Self::Exactly(time) => (time, time),
            Self::Between { first, most } => (first, most),
        }
    }
}

/// For how long a breaker opens: longer each time, until it stayed closed for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenTime {
    pub(crate) first: Duration,
    pub(crate) most: Duration,
    /// Whether to draw the time, so that the breakers of many processes do not probe together.
    pub(crate) jitter: bool,
    /// The most that a server may ask for.
    pub(crate) longest: Duration,
}

/// A server's `retry_after` is cut off to whole seconds, and sent to all its callers at once.
const FLOORED: Duration = Duration::from_secs(1);

impl OpenTime {
    /// The time to open for, `reopened` times after the first, when the server `asked` for some.
    pub(crate) fn draw(&self, reopened: u32, asked: Option<Duration>, rng: &mut Rng) -> Duration {
        let most = self.bound(reopened);
        let (own, extra) = if self.jitter {
            (most / 2 + up_to(most - most / 2, rng), up_to(FLOORED, rng))
        } else {
            (most, Duration::ZERO)
        };
        match asked {
            Some(asked) => own.max(asked.saturating_add(extra).min(self.longest)),
            None => own,
        }
    }
}

impl OpenTime {
    /// Half as long again each time: however long a service was down, the next probe finds it well
    /// after about half as long again. Doubled times would take as long again.
    fn bound(&self, reopened: u32) -> Duration {
        // Even the shortest grows, so that no number of times takes long to count.
        let longer = |time: Duration| time.saturating_add((time / 2).max(Duration::from_nanos(1)));
        std::iter::successors(Some(self.first), |&time| Some(longer(time)))
            .take_while(|&time| time < self.most)
            .nth(usize::try_from(reopened).unwrap_or(usize::MAX))
            .unwrap_or(self.most)
    }
}

/// Evenly from nothing to `most`, which is a day at most.
fn up_to(most: Duration, rng: &mut Rng) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.u64(0..=nanos))
}

#[cfg(test)]
mod tests {
    use super::{Duration, FLOORED, OpenTime, Rng};
    use proptest::prelude::*;

    const TIME: OpenTime = OpenTime {
        first: Duration::from_secs(1),
        most: Duration::from_secs(10),
        jitter: true,
        longest: Duration::from_secs(300),
    };

    #[test]
    fn each_is_half_as_long_again_until_it_is_the_most() {
        let plain = OpenTime { jitter: false, ..TIME };
        let mut rng = Rng::with_seed(1);
        let times = [0, 1, 2, 3, 4, 5, 6, u32::MAX];
        let times = times.map(|n| plain.draw(n, None, &mut rng).as_millis());
        assert_eq!(times, [1_000, 1_500, 2_250, 3_375, 5_062, 7_593, 10_000, 10_000]);
    }

    #[test]
    fn the_same_seed_draws_the_same_times_and_another_one_others() {
        let draw = |seed| {
            let mut rng = Rng::with_seed(seed);
            (0..9).map(|n| TIME.draw(n, None, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn however_short_the_first_the_most_is_reached_in_a_few_dozen_steps() {
        let first = Duration::from_nanos(1);
        let short = OpenTime { first, jitter: false, ..TIME };
        assert_eq!(short.bound(100), TIME.most);
        assert_eq!(short.bound(u32::MAX), TIME.most);
    }

    proptest! {
        #[test]
        fn it_is_never_nothing_never_below_what_was_asked_and_never_above_the_bounds(
            reopened in any::<u32>(),
            asked in prop::option::of(prop_oneof![
                (0..100_000_u64).prop_map(Duration::from_secs),
                any::<u64>().prop_map(Duration::from_secs),
                Just(Duration::MAX),
            ]),
            seed in any::<u64>(),
        ) {
            let time = TIME.draw(reopened, asked, &mut Rng::with_seed(seed));
            prop_assert!(time >= TIME.first / 2);
            prop_assert!(time >= asked.unwrap_or_default().min(TIME.longest));
            let asked = asked.map_or(Duration::ZERO, |asked| asked.saturating_add(FLOORED));
            prop_assert!(time <= TIME.most.max(asked.min(TIME.longest)));
        }
    }
}
