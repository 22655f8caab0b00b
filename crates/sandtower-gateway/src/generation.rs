//! What one configuration makes: replaced as a whole by a reload.

use crate::call_times::CallTimes;
use crate::config::{Config, ConfigError};
use crate::stacks::{Common, Stacks};
use crate::virtual_keys::{Declared, Upstreams};

/// What one configuration makes.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) config: Config,
    /// The keys of the service that virtual keys are sent on as: those of home.
    pub(crate) upstreams: Upstreams,
    /// The virtual keys in the file.
    pub(crate) declared: Vec<Declared>,
    pub(crate) home: Stacks,
    /// The other places, in the order in which creations are tried there.
    pub(crate) others: Vec<Stacks>,
    /// How long the calls of all stacks take.
    pub(crate) times: CallTimes,
}

impl Generation {
    pub(crate) fn new(config: Config) -> Result<Self, ConfigError> {
        let times = CallTimes::new(config.worker_count());
        Self::with_times(config, times)
    }

    fn with_times(config: Config, times: CallTimes) -> Result<Self, ConfigError> {
        config.check()?;
        let upstreams = Upstreams::read("keys.upstream", &config.keys.upstream)?;
        let declared = match &config.keys.file {
            Some(file) => Declared::read(file, &upstreams)?,
            None => Vec::new(),
        };
        let common = Common::new(&config, times.clone())?;
        let home = common.home(upstreams.clone())?;
        let others = config.places.iter().enumerate();
        let others = others.map(|(at, place)| common.other(at, place, &upstreams));
        let others = others.collect::<Result<_, _>>()?;
        Ok(Self { config, upstreams, declared, home, others, times })
    }

    /// The generation after `before`: what has the same settings is the same.
    pub(crate) fn after(before: &Self, config: Config) -> Result<Self, ConfigError> {
        let next = Self::with_times(config, before.times.clone())?;
        let (old, new) = (&before.config, &next.config);
        let is_same = old.stack == new.stack
            && old.owner == new.owner
            && old.limits.keys == new.limits.keys
            && old.expected() == new.expected();
        if !is_same {
            // Warm sandboxes of the same account and owner are as good as new ones.
            if old.owner == new.owner && new.has_pool() {
                for place in next.places() {
                    let same = before.places().find(|old| old.place.name == place.place.name);
                    same.into_iter().for_each(|before| place.follow(before));
                }
            }
            return Ok(next);
        }
        let home = next.home.after(Some(&before.home));
        let others = next.others.into_iter().map(|place| {
            let same = before.others.iter().find(|other| other.place.name == place.place.name);
            place.after(same)
        });
        Ok(Self { home, others: others.collect(), ..next })
    }

    /// What serves each place: home first.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Stacks> {
        std::iter::once(&self.home).chain(&self.others)
    }

    /// The domain under which the gateway is reached, without a port.
    pub(crate) fn domain_name(&self) -> Option<&str> {
        let domain = self.config.domain.as_deref()?;
        Some(domain.split_once(':').map_or(domain, |(name, _)| name))
    }
}
