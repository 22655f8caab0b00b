//! Demand for sandboxes: sessions start at random, each makes 8 to 12 calls with log-normal gaps.
//!
//! Fitted to the Azure LLM inference trace of 2023 (CC-BY 4.0), thinned to 0.5 requests a second. Its figure
//! of merit is the index of dispersion, the variance of counts over their mean: 1 for a Poisson process.
//!
//! | window | trace `conv` | smooth | trace `code` | bursty |
//! |---|---|---|---|---|
//! | 10 s | 1.3 | 1.0 | 15 | 14 |
//! | 60 s | 2.4 | 1.3 | 33 | 38 |

use std::time::Duration;

use sandtower_core::Rng;

/// A pattern of demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// 0.5 a second.
    Smooth,
    /// 0.5 a second in bursts.
    Bursty,
    /// Office hours at up to 1 a second, and quiet nights.
    Daily,
    /// 0.5 a second, and five times as much after 20 minutes.
    Step,
}

impl Demand {
    pub(crate) const ALL: [Self; 4] = [Self::Smooth, Self::Bursty, Self::Daily, Self::Step];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Smooth => "smooth",
            Self::Bursty => "bursty",
            Self::Daily => "daily",
            Self::Step => "step",
        }
    }

    /// How long it lasts.
    pub(crate) const fn lasts(self) -> Duration {
        match self {
            Self::Smooth | Self::Bursty => Duration::from_secs(3 * 3_600),
            Self::Daily => Duration::from_secs(2 * 86_400),
            Self::Step => Duration::from_secs(40 * 60),
        }
    }

    /// When figures begin to count: before that, every policy fills its stock for the first time.
    pub(crate) const fn counts_from(self) -> Duration {
        match self {
            Self::Smooth | Self::Bursty => Duration::from_secs(1_800),
            Self::Daily => Duration::from_secs(86_400),
            Self::Step => Duration::from_secs(300),
        }
    }

    /// When demand rises to five times what it was.
    pub(crate) const STEP: Duration = Duration::from_secs(20 * 60);

    /// Calls a second at that time.
    fn rate(self, at: f64) -> f64 {
        match self {
            Self::Smooth | Self::Bursty => 0.5,
            Self::Daily => {
                let hour = (at / 3_600.0) % 24.0;
                // From 8 to 20 o'clock, most at 14.
                let light = ((hour - 8.0) / 12.0 * std::f64::consts::PI).sin();
                if (8.0..20.0).contains(&hour) { light.max(0.05) } else { 0.002 }
            }
            Self::Step if at < Self::STEP.as_secs_f64() => 0.5,
            Self::Step => 2.5,
        }
    }

    /// The median of gaps between the calls of a session, and their spread.
    const fn gaps(self) -> (f64, f64) {
        match self {
            Self::Bursty => (0.4, 1.0),
            _ => (30.0, 0.8),
        }
    }

    /// When each call is made, in order.
    pub(crate) fn calls(self, seed: u64) -> Vec<Duration> {
        let mut rng = Rng::with_seed(seed ^ 0x5eed_0000);
        let (end, most) = (self.lasts().as_secs_f64(), 2.6 / CALLS);
        let (median, spread) = self.gaps();
        let (mut at, mut calls) = (-600.0, Vec::new());
        let (mut mood, mut mood_ends) = (1.0, f64::MIN);
        while at < end {
            // Sessions are thinned from the highest rate; in a burst, users come together.
            let highest = if self == Self::Bursty { most * 12.0 } else { most };
            at -= (1.0 - rng.f64()).ln() / highest;
            if self == Self::Bursty && at >= mood_ends {
                mood = log_normal(&mut rng, (-MOOD * MOOD / 2.0).exp(), MOOD).min(MOST_MOOD);
                mood_ends = at - (1.0 - rng.f64()).ln() * MOOD_LASTS;
            }
            let mood = if self == Self::Bursty { mood } else { 1.0 };
            if rng.f64() * highest > self.rate(at.max(0.0)) / CALLS * mood {
                continue;
            }
            let mut call = at;
            for _ in 0..rng.u32(8..=12) {
                if (0.0..end).contains(&call) {
                    calls.push(Duration::from_secs_f64(call));
                }
                call += log_normal(&mut rng, median, spread);
            }
        }
        calls.sort();
        calls
    }
}

/// Calls of a session, on average.
const CALLS: f64 = 10.0;
/// How much the rate of sessions varies from minute to minute in a burst: the sigma of a log-normal.
const MOOD: f64 = 1.0;

/// How long a rate lasts, on average, in seconds.
const MOOD_LASTS: f64 = 60.0;
/// No minute of the trace has more than about four times its mean rate.
const MOST_MOOD: f64 = 4.0;

/// A draw from a log-normal distribution.
pub(crate) fn log_normal(rng: &mut Rng, median: f64, sigma: f64) -> f64 {
    let (u, v) = (1.0 - rng.f64(), rng.f64());
    median * (sigma * (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispersion(calls: &[Duration], window: u64, demand: Demand) -> f64 {
        let mut counts = vec![0_f64; (demand.lasts().as_secs() / window) as usize + 1];
        calls.iter().for_each(|call| counts[(call.as_secs() / window) as usize] += 1.0);
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / counts.len() as f64 / mean
    }

    #[test]
    fn it_has_the_dispersion_of_the_traces() {
        for (demand, ten, sixty) in
            [(Demand::Smooth, 0.8..1.6, 0.8..2.6), (Demand::Bursty, 10.0..22.0, 22.0..55.0)]
        {
            let of = |window| {
                let all: f64 =
                    (0..20).map(|seed| dispersion(&demand.calls(seed), window, demand)).sum();
                all / 20.0
            };
            let (seen_ten, seen_sixty) = (of(10), of(60));
            println!("{demand:?} {seen_ten} {seen_sixty}");
            assert!(ten.contains(&seen_ten), "{demand:?}, 10 s: {seen_ten}");
            assert!(sixty.contains(&seen_sixty), "{demand:?}, 60 s: {seen_sixty}");
            let rate: f64 = (0..20).map(|seed| demand.calls(seed).len() as f64).sum::<f64>()
                / 20.0
                / demand.lasts().as_secs_f64();
            assert!((0.4..0.6).contains(&rate), "{demand:?}: {rate}");
        }
    }
}
