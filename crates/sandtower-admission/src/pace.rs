//! How fast a line moves, and how long calls take: what an expected wait is made of.

use std::time::Duration;

use sandtower_core::Tick;

#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the last call was admitted from a line that is still standing.
    last: Option<Tick>,
    /// Seconds from one admission to the next while somebody waits.
    turn: Option<f64>,
    /// Seconds that a successful call takes once it is sent.
    took: Option<f64>,
}

/// How much a new sample counts.
const WEIGHT: f64 = 0.2;

impl Pace {
    /// A call was admitted while others waited.
    pub(crate) fn admitted(&mut self, now: Tick) {
        if let Some(last) = self.last.replace(now) {
            mix(&mut self.turn, now.since(last));
        }
    }

    pub(crate) fn succeeded(&mut self, took: Duration) {
        mix(&mut self.took, took);
    }

    /// Nobody waits any more: what was known of the line is old when the next one forms.
    pub(crate) fn line_is_over(&mut self) {
        (self.last, self.turn) = (None, None);
    }

    /// How long the one waits who has so many ahead; `None`: nobody knows.
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
