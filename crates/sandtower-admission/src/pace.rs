//! How fast a queue moves, and how long calls take: what an expected wait is made of.

use std::time::Duration;

use sandtower_core::Tick;

#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the last call was admitted from a queue that is not empty yet.
    last: Option<Tick>,
    /// Seconds from one admission to the next while calls wait.
    turn: Option<f64>,
    /// Seconds that a successful call takes once it is sent.
    took: Option<f64>,
    /// Until then no call need be timed.
    sampled_until: Tick,
}

/// How much a new sample counts.
const WEIGHT: f64 = 0.2;

/// How often a call is timed, at most: more samples add nothing, and each costs a reading of the clock.
const SAMPLED_EVERY: Duration = Duration::from_millis(10);

impl Pace {
    /// A call was admitted while others waited.
    pub(crate) fn admitted(&mut self, now: Tick) {
        if let Some(last) = self.last.replace(now) {
            mix(&mut self.turn, now.since(last));
        }
    }

    /// Whether to find out how long a call takes that is sent about `now`.
    #[inline]
    pub(crate) fn wants_sample(&mut self, now: Tick) -> bool {
        let wants = now >= self.sampled_until;
        if wants {
            self.sampled_until = now + SAMPLED_EVERY;
        }
        wants
    }

    pub(crate) fn succeeded(&mut self, took: Duration) {
        mix(&mut self.took, took);
    }

    /// Calls are held through an outage: how long that takes says nothing about the queue.
    pub(crate) fn stands_still(&mut self) {
        self.last = None;
    }

    /// No call waits any more: what was known is old when calls wait again.
    pub(crate) fn queue_is_empty(&mut self) {
        (self.last, self.turn) = (None, None);
    }

    /// How long a call waits that has so many ahead; `None`: not known.
    pub(crate) fn wait(&self, ahead: usize) -> Option<Duration> {
        let seconds = self.turn? * (ahead as f64 + 1.0);
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// How long a call takes once it is sent, as far as is known.
    pub(crate) fn took(&self) -> Duration {
        let seconds = self.took.unwrap_or_default();
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}

fn mix(mean: &mut Option<f64>, sample: Duration) {
    let sample = sample.as_secs_f64();
    *mean = Some(mean.map_or(sample, |mean| mean + WEIGHT * (sample - mean)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_sampled_a_hundred_times_a_second_at_most() {
        let samples = |every: Duration| {
            let mut pace = Pace::default();
            let mut now = Tick::ZERO + Duration::from_secs(1);
            (0..1_000)
                .filter(|_| {
                    now += every;
                    pace.wants_sample(now)
                })
                .count()
        };
        assert_eq!(samples(Duration::from_millis(10)), 1_000);
        assert_eq!(samples(Duration::from_millis(1)), 100);
        assert_eq!(samples(Duration::from_micros(10)), 1);
    }
}
