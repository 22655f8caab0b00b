mod error;
mod schedule;
mod setters;

use std::path::PathBuf;
use std::time::Duration;

use sandtower_core::settings::duration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use error::ConfigError;
pub use schedule::ScheduleRow;

use crate::shape::Shape;

/// How a [`Pool`](crate::Pool) is stocked, and what it may cost.
///
/// | setting | default |
/// |---|---|
/// | [`max`](Config::max) | 10 sandboxes |
/// | [`min`](Config::min) | 0 |
/// | [`budget`](Config::budget) | $1 an hour |
/// | [`price`](Config::price) | $0.10 for an hour of a sandbox |
/// | [`shapes`](Config::shape) | none |
/// | [`learn`](Config::learn) | 4 shapes |
/// | [`served`](Config::served) | 0.9995 |
/// | [`peak_half_life`](Config::peak_half_life) | 15 min |
/// | [`profile`](Config::profile) | on |
/// | [`schedule`](Config::schedule) | none |
/// | [`idle_for`](Config::idle_for) | 5 min |
/// | [`max_lifetime`](Config::max_lifetime) | 1 h |
/// | [`create_every`](Config::create_every), [`create_burst`](Config::create_burst) | 1 s, 5 |
/// | [`spare_slots`](Config::spare_slots) | 2 |
/// | [`hand_out_within`](Config::hand_out_within) | 5 s |
/// | [`on_shutdown`](Config::on_shutdown) | kill |
/// | [`reuse`](Config::reuse) | 1 use: no reuse |
/// | [`store`](Config::store) | none: in memory |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use = "a config does nothing by itself"]
pub struct Config {
    pub(crate) max: u32,
    pub(crate) min: u32,
    pub(crate) budget: f64,
    pub(crate) price: f64,
    pub(crate) shapes: Vec<Map<String, Value>>,
    pub(crate) learn: u32,
    pub(crate) served: f64,
    #[serde(with = "duration")]
    pub(crate) peak_half_life: Duration,
    pub(crate) profile: bool,
    pub(crate) schedule: Vec<ScheduleRow>,
    #[serde(with = "duration")]
    pub(crate) idle_for: Duration,
    #[serde(with = "duration")]
    pub(crate) max_lifetime: Duration,
    #[serde(with = "duration")]
    pub(crate) create_every: Duration,
    pub(crate) create_burst: u32,
    pub(crate) spare_slots: u32,
    #[serde(with = "duration")]
    pub(crate) hand_out_within: Duration,
    pub(crate) on_shutdown: OnShutdown,
    pub(crate) reuse: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<PathBuf>,
    /// The slots of the plan: known by the stack, not by a file.
    #[serde(skip)]
    pub(crate) slots: Option<u32>,
}

/// What becomes of warm sandboxes at shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnShutdown {
    /// They are killed.
    #[default]
    Kill,
    /// They are left for the next process with the same [owner](sandtower_e2b::Config::owner), which takes
    /// over those of its configured shapes and kills the others. Without one, they end within
    /// [`idle_for`](Config::idle_for).
    Keep,
}

/// The most shapes, configured and learned.
pub(crate) const MOST_SHAPES: u32 = 32;
/// A hand-out needs this much time before its sandbox would end.
pub(crate) const MARGIN: Duration = Duration::from_secs(10);

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            max: 10,
            min: 0,
            budget: 1.0,
            price: 0.1,
            shapes: Vec::new(),
            learn: 4,
            served: 0.9995,
            peak_half_life: Duration::from_secs(900),
            profile: true,
            schedule: Vec::new(),
            idle_for: Duration::from_secs(300),
            max_lifetime: Duration::from_secs(3_600),
            create_every: Duration::from_secs(1),
            create_burst: 5,
            spare_slots: 2,
            hand_out_within: Duration::from_secs(5),
            on_shutdown: OnShutdown::Kill,
            reuse: 1,
            store: None,
            slots: None,
        }
    }

    /// The most sandboxes that the budget pays for at a time.
    pub(crate) fn affordable(&self) -> u32 {
        // A float-to-int cast saturates. The margin is for decimal fractions: 1.0 / 0.1 is ten.
        (self.budget / self.price + 1e-9) as u32
    }

    /// # Errors
    ///
    /// A setting is invalid: the error says what would be valid.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let Self { max, min, budget, price, served, .. } = *self;
        if max == 0 {
            return Err(ConfigError::NoStock);
        }
        if min > max {
            return Err(ConfigError::MinAboveMax { min, max });
        }
        if !(price.is_finite() && price > 0.0) {
            return Err(ConfigError::Price { price });
        }
        if !(budget.is_finite() && budget > 0.0 && self.affordable() > 0) {
            return Err(ConfigError::Budget { budget, price });
        }
        if let Some(slots) = self.slots.filter(|slots| max > slots.saturating_sub(self.spare_slots))
        {
            return Err(ConfigError::MaxAbovePlan { max, slots, spare: self.spare_slots });
        }
        if !(0.5..1.0).contains(&served) {
            return Err(ConfigError::Served { served });
        }
        if self.idle_for < MARGIN * 3 || self.idle_for > self.max_lifetime {
            return Err(ConfigError::IdleFor);
        }
        if self.peak_half_life.is_zero()
            || self.create_every.is_zero()
            || self.hand_out_within.is_zero()
        {
            return Err(ConfigError::ZeroTime);
        }
        if self.reuse == 0 || self.create_burst == 0 {
            return Err(ConfigError::ZeroCount);
        }
        if self.shapes.len() + self.learn as usize > MOST_SHAPES as usize {
            return Err(ConfigError::ManyShapes);
        }
        self.schedule.iter().try_for_each(ScheduleRow::check)?;
        self.shapes.iter().try_for_each(|body| Shape::configured(body).map(drop))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_config_is_read_back() {
        let row = ScheduleRow::new("mon-fri", "08:00", "18:00", 4);
        let new = sandtower_e2b::NewSandbox::new("base");
        for config in [Config::new(), Config::new().schedule(row).shape(&new).max(3).budget(2.5)] {
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config, "{text}");
        }
    }

    #[test]
    fn what_is_invalid_is_rejected_with_what_would_be_right() {
        let new = Config::new;
        assert_eq!(new().check(), Ok(()));
        for (config, error) in [
            (new().max(0), "`max` must be at least 1; leave `pool` out to have no warm sandboxes"),
            (new().min(11), "`min` is 11 and `max` is 10; `min` must not be above `max`"),
            (
                new().budget(0.0),
                "`budget` is $0/h, which pays for no sandbox at a `price` of $0.1/h; raise it to at least \
                 `price`, or leave `pool` out",
            ),
            (
                new().max(20).slots(Some(20)),
                "`max` is 20, but the plan has 20 slots, of which `spare_slots` keeps 2 free: `max` must be \
                 at most 18",
            ),
            (
                new().idle_for(Duration::from_secs(1)),
                "`idle_for` must be between 30 s and `max_lifetime`",
            ),
            (new().served(1.0), "`served` is 1; it must be at least 0.5 and below 1"),
            (new().reuse(0), "`reuse` and `create_burst` must be at least 1"),
            (
                new().schedule(ScheduleRow::new("mo", "08:00", "18:00", 1)),
                "`schedule`: \"mo\" is no day; it must be `*`, or days such as `mon`, `mon-fri` or `sat,sun`",
            ),
        ] {
            assert_eq!(config.check().unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn the_budget_buys_whole_sandboxes() {
        assert_eq!(Config::new().affordable(), 10);
        assert_eq!(Config::new().budget(0.3).affordable(), 3);
        assert_eq!(Config::new().budget(0.09).affordable(), 0);
    }
}
