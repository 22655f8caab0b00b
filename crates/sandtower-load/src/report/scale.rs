//! Maps values to positions on an axis, and chooses its ticks.

use super::text::{finite, number};

/// An axis: its two ends, and its ticks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    kind: Kind,
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Linear,
    Log,
}

/// Ticks of a time axis, in seconds: the units of clocks.
const TIME_STEPS: [f64; 27] = [
    0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
    10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0,
];

/// Values within this factor need no logarithmic axis.
const NARROW: f64 = 6.0;

impl Scale {
    /// From zero to at least `most`, in about four steps; of whole numbers if `whole`.
    pub(super) fn counts(most: f64, whole: bool) -> Self {
        let most = if finite(most) > 0.0 { most } else { 1.0 };
        let step = nice_above(most / 4.0);
        Self::stepped(most, if whole { step.max(1.0) } else { step })
    }

    /// From zero to exactly `end` seconds, in at most five steps.
    pub(super) fn time(end: f64) -> Self {
        let end = if finite(end) > 0.0 { end } else { 1.0 };
        let wide = |step: &f64| end / step <= 5.0;
        let day = 86_400.0;
        let step = TIME_STEPS.into_iter().find(wide).unwrap_or(nice_above(end / day / 5.0) * day);
        let mut scale = Self::stepped(end, step);
        scale.to = end;
        scale.ticks.retain(|tick| *tick <= end);
        scale
    }

    /// For latencies in milliseconds: logarithmic if they differ much, otherwise from zero.
    pub(super) fn latency(values: impl Iterator<Item = f64>) -> Self {
        let positive = values.filter(|value| value.is_finite() && *value > 0.0);
        let (least, most) = positive.fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        if most == 0.0 {
            return Self::stepped(1_000.0, 500.0);
        }
        // A simulated call may take next to no time; below a microsecond that does not matter.
        let least = least.max(most / 1e6).max(1e-3);
        if most / least < NARROW {
            return Self::stepped(most, nice_above(most / 4.0));
        }
        let (from, to) = (nice_below(least), nice_above(most));
        let wanted: &[f64] = if to / from > 200.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let mut ticks = Vec::new();
        let mut decade = 10_f64.powf(from.log10().floor());
        while decade <= to * 1.001 {
            let here = wanted.iter().map(|digit| digit * decade);
            ticks.extend(here.filter(|tick| *tick >= from * 0.999 && *tick <= to * 1.001));
            decade *= 10.0;
        }
        Self { kind: Kind::Log, from, to, ticks }
    }

    fn stepped(most: f64, step: f64) -> Self {
        let steps = (most / step - 1e-9).ceil().max(1.0);
        let ticks = (0..=steps as u32).map(|at| f64::from(at) * step).collect();
        Self { kind: Kind::Linear, from: 0.0, to: steps * step, ticks }
    }

    /// The position of a value, from 0 to 1; values beyond an end are at the end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = finite(value).clamp(self.from, self.to);
        match self.kind {
            Kind::Linear => (value - self.from) / (self.to - self.from),
            Kind::Log => (value / self.from).ln() / (self.to / self.from).ln(),
        }
    }

    pub(super) fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    pub(super) fn end(&self) -> f64 {
        self.to
    }

    pub(super) fn is_log(&self) -> bool {
        self.kind == Kind::Log
    }
}

/// A tick of a time axis up to `end` seconds, in one unit for all of its ticks.
pub(super) fn time_tick(tick: f64, end: f64) -> String {
    let (unit, name) = match end {
        _ if end < 1.0 => (0.001, "ms"),
        _ if end <= 300.0 => (1.0, "s"),
        _ if end <= 10_800.0 => (60.0, "min"),
        _ => (3_600.0, "h"),
    };
    format!("{} {name}", number(tick / unit))
}

/// The next of 1, 2, 5, 10, ... from a value up.
fn nice_above(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let digits = [1.0, 2.0, 5.0];
    digits
        .map(|digit| digit * decade)
        .into_iter()
        .find(|nice| *nice >= value * 0.999_999)
        .unwrap_or(10.0 * decade)
}

fn nice_below(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let digits = [5.0, 2.0];
    digits
        .map(|digit| digit * decade)
        .into_iter()
        .find(|nice| *nice <= value * 1.000_001)
        .unwrap_or(decade)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_begin_at_zero_and_end_at_a_round_number() {
        assert_eq!(Scale::counts(10.0, true).ticks(), [0.0, 5.0, 10.0]);
        assert_eq!(Scale::counts(11.0, true).ticks(), [0.0, 5.0, 10.0, 15.0]);
        assert_eq!(Scale::counts(2.0, true).ticks(), [0.0, 1.0, 2.0]);
        assert_eq!(Scale::counts(0.0, true).ticks(), [0.0, 1.0]);
        assert_eq!(Scale::counts(0.5, false).ticks().len(), 4);
    }

    #[test]
    fn time_ends_with_the_run_and_ticks_where_clocks_do() {
        let scale = Scale::time(317.0);
        assert_eq!(scale.ticks(), [0.0, 120.0, 240.0]);
        assert_eq!(scale.place(317.0), 1.0);
        assert_eq!(time_tick(120.0, 317.0), "2 min");
        assert_eq!([time_tick(0.2, 1.0), time_tick(0.2, 0.9)], ["0.2 s", "200 ms"]);
        assert!(Scale::time(1e7).ticks().len() <= 7);
    }

    #[test]
    fn latencies_far_apart_have_a_logarithmic_axis() {
        let scale = Scale::latency([20.0, 300_000.0].into_iter());
        assert!(scale.is_log());
        assert_eq!(scale.ticks(), [100.0, 1e3, 1e4, 1e5]);
        let middle = scale.place((20.0_f64 * 500_000.0).sqrt());
        assert!((middle - 0.5).abs() < 1e-9, "{middle}");
    }

    #[test]
    fn latencies_close_together_begin_at_zero() {
        let scale = Scale::latency([20_000.0, 90_000.0].into_iter());
        assert!(!scale.is_log());
        assert_eq!(scale.place(0.0), 0.0);
        assert_eq!(scale.end(), 100_000.0);
    }

    #[test]
    fn no_position_is_beyond_an_end_of_the_axis() {
        let odd = [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e-12, 5e9];
        let scales = [
            Scale::latency(odd.into_iter()),
            Scale::latency([].into_iter()),
            Scale::counts(f64::NAN, true),
            Scale::time(f64::INFINITY),
        ];
        for scale in scales {
            assert!(scale.ticks().len() <= 20, "{scale:?}");
            for value in odd.into_iter().chain(scale.ticks().iter().copied()) {
                assert!((0.0..=1.0).contains(&scale.place(value)), "{value} in {scale:?}");
            }
        }
    }
}
