use crate::wall::HOURS_OF_WEEK;

/// Arrivals by hour of the week, as decaying means, and how wrong they were as forecasts.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// `None`: that hour was not seen yet.
    hours: Box<[Option<f32>; HOURS_OF_WEEK]>,
    /// Decaying sums of |forecast - arrivals| and of arrivals, over hours with a forecast.
    missed: f64,
    came: f64,
    last: Option<(f32, u32)>,
}

/// What the profile said of the hour before, and what came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Forecast {
    pub(crate) expected: f32,
    pub(crate) came: u32,
}

/// The weight of the newest week: after 4 weeks an old one has faded to 1/16.
const NEWEST: f32 = 0.5;
/// The weight of the hours before in the published error: about a day.
const ERROR_DECAY: f64 = 0.96;

impl Profile {
    pub(crate) fn new() -> Self {
        Self { hours: Box::new([None; HOURS_OF_WEEK]), missed: 0.0, came: 0.0, last: None }
    }

    /// A whole hour has ended.
    pub(crate) fn ended(&mut self, hour: usize, arrivals: u32) {
        let Some(known) = self.hours.get_mut(hour) else { return };
        let came = arrivals as f32;
        if let Some(expected) = *known {
            self.missed = self.missed * ERROR_DECAY + f64::from((expected - came).abs());
            self.came = self.came * ERROR_DECAY + f64::from(came);
            self.last = Some((expected, arrivals));
        }
        *known = Some(known.map_or(came, |mean| mean + NEWEST * (came - mean)));
    }

    /// Expected arrivals in that hour; `None`: it was not seen yet.
    pub(crate) fn expected(&self, hour: usize) -> Option<f32> {
        self.hours.get(hour).copied().flatten()
    }

    /// The last hour that had a forecast.
    pub(crate) fn last(&self) -> Option<Forecast> {
        self.last.map(|(expected, came)| Forecast { expected, came })
    }

    /// The error of forecasts as a share of what came; `None`: there was none so far.
    pub(crate) fn error(&self) -> Option<f64> {
        (self.came > 0.0).then(|| self.missed / self.came)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_an_hour_and_publishes_its_error() {
        let mut profile = Profile::new();
        assert_eq!((profile.expected(9), profile.error()), (None, None));
        profile.ended(9, 100);
        assert_eq!((profile.expected(9), profile.error()), (Some(100.0), None));
        profile.ended(9, 200);
        assert_eq!(profile.expected(9), Some(150.0));
        assert_eq!(profile.error(), Some(0.5));
        assert_eq!(profile.last(), Some(Forecast { expected: 100.0, came: 200 }));
        profile.ended(9_999, 1);
    }
}
