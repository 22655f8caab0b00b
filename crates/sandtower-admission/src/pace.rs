//! How fast a queue moves and how long calls take: the basis of the expected wait.

use std::time::Duration;

use sandtower_core::Tick;

#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When a call was last admitted, while the queue is not empty.
    last: Option<Tick>,
    /// Seconds between admissions while calls are queued.
    turn: Option<f64>,
    /// Seconds that a successful call takes after it is sent.
    took: Option<f64>,
    /// No call needs to be timed before this.
    sampled_until: Tick,
}

/// Weight of a new sample.
const WEIGHT: f64 = 0.2;

/// The minimum time between samples: more add nothing, and each reads the clock.
const SAMPLED_EVERY: Duration = Duration::from_millis(10);

impl Pace {
    /// Records that a call was admitted while others were queued.
    pub(crate) fn admitted(&mut self, now: Tick) {
        if let Some(last) = self.last.replace(now) {
            mix(&mut self.turn, now.since(last));
        }
    }

    /// Whether to time a call that is sent about `now`.
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

    /// Records that calls are held through an outage: that time is not a measure of the queue.
    pub(crate) fn stands_still(&mut self) {
        self.last = None;
    }

    /// Records that the queue is empty: the samples are out of date once it fills again.
    pub(crate) fn queue_is_empty(&mut self) {
        (self.last, self.turn) = (None, None);
    }

    /// The expected wait behind `ahead` calls; `None` if unknown.
    pub(crate) fn wait(&self, ahead: usize) -> Option<Duration> {
        let seconds = self.turn? * (ahead as f64 + 1.0);
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// The expected time of a call after it is sent, if known.
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
