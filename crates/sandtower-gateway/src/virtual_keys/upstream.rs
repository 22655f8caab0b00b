use std::collections::BTreeMap;

use sandtower::e2b::{self, Secret};

use crate::config::{ConfigError, UpstreamKey};

/// The keys of the service that virtual keys are sent on as, by name. Their values are never shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upstreams(BTreeMap<String, Secret>);

impl Upstreams {
    /// Reads them from where this `section` of the configuration says.
    pub(crate) fn read(
        section: &str,
        config: &BTreeMap<String, UpstreamKey>,
    ) -> Result<Self, ConfigError> {
        let all = config.iter().map(|(name, from)| {
            let error = |why: String| ConfigError::new(format!("{section}.{name}"), why);
            let value = match (&from.env, &from.file) {
                (Some(variable), None) => std::env::var(variable).map_err(|_| {
                    error(format!(
                        "the environment variable {variable} must be set to the key, as text"
                    ))
                })?,
                (None, Some(file)) => std::fs::read_to_string(file)
                    .map_err(|why| error(format!("{} cannot be read: {why}", file.display())))?,
                _ => return Err(error(String::from("either `env` or `file` must be set"))),
            };
            let value = value.trim();
            // Its text is in no error.
            let is_key = !value.is_empty() && e2b::Config::new(value).is_ok();
            match is_key {
                true => Ok((name.clone(), Secret::new(value))),
                false => {
                    Err(error(String::from("what is there must be an API key, such as e2b_0123")))
                }
            }
        });
        all.collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.0.values()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
