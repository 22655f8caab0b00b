//! What serves the calls to one place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sandtower::e2b::{Owner, Secret};
use sandtower::stack::{BuildError, StackConfig};

use crate::call_times::CallTimes;
use crate::config::{self, Config, ConfigError, Upstream};
use crate::keys::{KeyStack, Keys, MakeStack, NoStack, TenantId};
use crate::place::{HOME, Place};
use crate::virtual_keys::Upstreams;

/// What serves the calls to one place, and which keys and templates of it stand for which of home.
#[derive(Debug)]
pub(crate) struct Stacks {
    pub(crate) place: Arc<Place>,
    pub(crate) keys: Arc<Keys>,
    /// The stack for requests into sandboxes, which carry no key.
    pub(crate) data: Arc<KeyStack>,
    /// The keys of this place, by the names of the upstream keys that they stand for.
    pub(crate) own: Upstreams,
    /// The same by whose stack that of the upstream key is at home. Empty for home.
    counterparts: HashMap<TenantId, Secret>,
    templates: BTreeMap<String, String>,
    upstream: Upstream,
}

/// What the stacks of all places have in common.
pub(crate) struct Common<'a> {
    config: &'a Config,
    owner: Owner,
    stack: StackConfig,
    times: CallTimes,
}

impl<'a> Common<'a> {
    pub(crate) fn new(config: &'a Config, times: CallTimes) -> Result<Self, ConfigError> {
        let owner = config.owner.parse().map_err(|error| ConfigError::new("owner", error))?;
        Ok(Self { config, owner, stack: config.stack_config()?, times })
    }

    /// The stacks for home, with the upstream keys of the configuration.
    pub(crate) fn home(&self, own: Upstreams) -> Result<Stacks, ConfigError> {
        self.stacks(HOME, "upstream", self.config.upstream.clone(), own)
    }

    /// Those for the other place at this position in the configuration.
    pub(crate) fn other(
        &self,
        at: usize,
        place: &config::Place,
        of_home: &Upstreams,
    ) -> Result<Stacks, ConfigError> {
        let section = format!("places[{at}]");
        let upstream = place.upstream(&section)?;
        let own = Upstreams::read(&format!("{section}.keys"), &place.keys)?;
        let counterparts = counterparts(&section, &own, of_home)?;
        let templates = place.templates.clone();
        let stacks = self.stacks(&place.name, &section, upstream, own)?;
        Ok(Stacks { counterparts, templates, ..stacks })
    }

    fn stacks(
        &self,
        name: &str,
        section: &str,
        upstream: Upstream,
        own: Upstreams,
    ) -> Result<Stacks, ConfigError> {
        let place = Arc::new(Place::new(name, section, &upstream, self.config.worker_count())?);
        let make = MakeStack {
            place: Arc::clone(&place),
            owner: self.owner.clone(),
            stack: self.stack.clone(),
            times: self.times.clone(),
            expected: self.config.expected(),
            ends_stock: self.config.ends_stock(),
        };
        let data = Arc::new(make.data_plane().map_err(|error| {
            // With the name of the setting, if the stack names it.
            match error.downcast_ref::<BuildError>() {
                Some(error) => ConfigError::new(format!("stack.{}", error.name()), error.why()),
                None => ConfigError::new("stack", error),
            }
        })?);
        let keys = Arc::new(Keys::new(make, self.config.limits.keys.get()));
        let (counterparts, templates) = (HashMap::new(), BTreeMap::new());
        Ok(Stacks { place, keys, data, own, counterparts, templates, upstream })
    }
}

impl Stacks {
    /// These, with what `before` has learned, if it served the same place in the same way.
    pub(crate) fn after(self, before: Option<&Self>) -> Self {
        match before.filter(|before| before.upstream == self.upstream) {
            Some(before) => Self {
                place: Arc::clone(&before.place),
                keys: Arc::clone(&before.keys),
                data: Arc::clone(&before.data),
                ..self
            },
            None => self,
        }
    }

    /// They take over the warm sandboxes of `before`, if it served the same place in the same way.
    pub(crate) fn follow(&self, before: &Self) {
        if before.upstream == self.upstream {
            self.keys.follow(&before.keys);
        }
    }

    /// The stack here for the calls of whom `at_home` is the stack at home; `None`: no key of this place
    /// stands for that one.
    pub(crate) fn counterpart(
        &self,
        at_home: &Arc<KeyStack>,
    ) -> Result<Option<Arc<KeyStack>>, NoStack> {
        if self.place.is_home() {
            return Ok(Some(Arc::clone(at_home)));
        }
        let key = self.counterparts.get(&at_home.tenant());
        key.map(|key| self.keys.get(key.expose()).map(|(_, stack)| stack)).transpose()
    }

    /// The stack for the upstream key of this name.
    pub(crate) fn named(&self, upstream: &str) -> Option<Arc<KeyStack>> {
        let key = self.own.get(upstream)?;
        self.keys.get(key.expose()).ok().map(|(_, stack)| stack)
    }

    /// What a template of home is called here.
    pub(crate) fn template(&self, at_home: &str) -> Option<&str> {
        self.templates.get(at_home).map(String::as_str)
    }
}

/// The keys of a place by whose stack that of the upstream key is at home.
fn counterparts(
    section: &str,
    own: &Upstreams,
    of_home: &Upstreams,
) -> Result<HashMap<TenantId, Secret>, ConfigError> {
    let mut all: HashMap<TenantId, (&str, Secret)> = HashMap::new();
    for name in own.names() {
        let (Some(key), Some(at_home)) = (own.get(name), of_home.get(name)) else { continue };
        let tenant = TenantId::of(at_home.expose().as_bytes());
        let before = all.insert(tenant, (name, key.clone()));
        if let Some((other, _)) = before.filter(|(_, before)| before.expose() != key.expose()) {
            let why = format!(
                "it must be the same key as `{other}`, since both stand for the same key of home"
            );
            return Err(ConfigError::new(format!("{section}.keys.{name}"), why));
        }
    }
    Ok(all.into_iter().map(|(tenant, (_, key))| (tenant, key)).collect())
}
