//! What one configuration makes: replaced as a whole by a reload.

use std::sync::Arc;

use sandtower::core::BoxError;
use sandtower::e2b::{HttpTransport, Owner};
use sandtower::stack::BuildError;

use crate::call_times::CallTimes;
use crate::config::{Config, ConfigError, Upstream};
use crate::keys::{KeyStack, Keys, MakeStack};
use crate::place::Place;
use crate::virtual_keys::{Declared, Upstreams};

/// What one configuration makes.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) config: Config,
    pub(crate) place: Place,
    /// The keys of the service that virtual keys are sent on as.
    pub(crate) upstreams: Upstreams,
    /// The virtual keys in the file.
    pub(crate) declared: Vec<Declared>,
    pub(crate) keys: Arc<Keys>,
    /// The stack for requests into sandboxes, which carry no key.
    pub(crate) data: Arc<KeyStack>,
    /// The connections of each worker to the service, and last those of operators.
    pub(crate) transports: Arc<[HttpTransport]>,
    /// How long the calls of all stacks take.
    pub(crate) times: CallTimes,
}

impl Generation {
    pub(crate) fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let workers = config.worker_count();
        let place = config.place()?;
        let upstreams = Upstreams::read(&config.keys.upstream)?;
        let declared = match &config.keys.file {
            Some(file) => Declared::read(file, &upstreams)?,
            None => Vec::new(),
        };
        let owner: Owner =
            config.owner.parse().map_err(|error| ConfigError::new("owner", error))?;
        let stack = config.stack_config()?;
        let times = CallTimes::new(workers);
        let shared = times.clone();
        let make = MakeStack { place: place.clone(), owner, stack, workers, times: shared };
        let data = make.data_plane().map_err(of_stack)?;
        let transports =
            (0..=workers).map(|_| transport(&config.upstream)).collect::<Result<_, _>>()?;
        let keys = Arc::new(Keys::new(make, config.limits.keys.get()));
        let data = Arc::new(data);
        Ok(Self { config, place, upstreams, declared, keys, data, transports, times })
    }

    /// The generation after `before`: what has the same settings is the same.
    pub(crate) fn after(before: &Self, config: Config) -> Result<Self, ConfigError> {
        let next = Self::new(config)?;
        let (old, new) = (&before.config, &next.config);
        let is_same = old.upstream == new.upstream
            && old.stack == new.stack
            && old.owner == new.owner
            && old.limits.keys == new.limits.keys;
        if !is_same {
            return Ok(next);
        }
        Ok(Self {
            keys: Arc::clone(&before.keys),
            data: Arc::clone(&before.data),
            transports: Arc::clone(&before.transports),
            times: before.times.clone(),
            ..next
        })
    }

    /// The connections of operators to the service.
    pub(crate) fn operators(&self) -> &HttpTransport {
        &self.transports[self.transports.len() - 1]
    }

    /// The domain under which the gateway is reached, without a port.
    pub(crate) fn domain_name(&self) -> Option<&str> {
        let domain = self.config.domain.as_deref()?;
        Some(domain.split_once(':').map_or(domain, |(name, _)| name))
    }
}

/// With the name of the setting, if the stack names it.
fn of_stack(error: BoxError) -> ConfigError {
    match error.downcast_ref::<BuildError>() {
        Some(error) => ConfigError::new(format!("stack.{}", error.name()), error.why()),
        None => ConfigError::new("stack", error),
    }
}

fn transport(upstream: &Upstream) -> Result<HttpTransport, ConfigError> {
    let mut builder = HttpTransport::builder().idle_per_host(upstream.idle_connections);
    if let Some(file) = &upstream.root_certificates {
        let pem = std::fs::read(file).map_err(|error| {
            let why = format!("{} cannot be read: {error}", file.display());
            ConfigError::new("upstream.root_certificates", why)
        })?;
        builder = builder.root_certificates(pem);
    }
    if upstream.only_own_roots {
        builder = builder.only_own_roots();
    }
    builder = match upstream.proxy.as_deref() {
        None => builder,
        Some("none") => builder.no_proxy(),
        Some(proxy) => builder.proxy(proxy, &upstream.no_proxy),
    };
    builder.build().map_err(|error| ConfigError::new("upstream", error))
}
