use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, Upstream, UpstreamKey};
use crate::addresses::Addresses;
use crate::place::HOME;

/// Another place than the one of [`Upstream`]: an E2B with its own domain, keys, templates and sandboxes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Place {
    /// Its name: 1 to 32 of `[a-z0-9-]`.
    pub name: String,
    /// The domain of the service there, unless it has the two addresses below.
    #[serde(default)]
    pub domain: Option<String>,
    /// The address of the control plane.
    #[serde(default)]
    pub api_url: Option<String>,
    /// The address under which all sandboxes are reached.
    #[serde(default)]
    pub sandbox_url: Option<String>,
    /// A file with certificates in PEM that are trusted besides the public ones.
    #[serde(default)]
    pub root_certificates: Option<PathBuf>,
    /// Trusts no public certificates.
    #[serde(default)]
    pub only_own_roots: bool,
    /// The proxy through which it is reached: a URL, or `"none"`. By default that of the environment.
    #[serde(default, skip_serializing)]
    pub proxy: Option<String>,
    /// Hosts that are reached without the proxy, separated by commas.
    #[serde(default)]
    pub no_proxy: String,
    /// Unused connections that are kept to one host, by each worker.
    #[serde(default = "idle_connections")]
    pub idle_connections: usize,
    /// The keys of this place, by the names of the keys of [`Keys::upstream`](super::Keys::upstream) that
    /// they stand for.
    pub keys: BTreeMap<String, UpstreamKey>,
    /// What templates are called here, if they have another id or name than at home.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<String, String>,
}

fn idle_connections() -> usize {
    Upstream::default().idle_connections
}

impl Place {
    /// How it is reached.
    pub(crate) fn upstream(&self, section: &str) -> Result<Upstream, ConfigError> {
        let has_urls = self.api_url.is_some() || self.sandbox_url.is_some();
        let domain = match (&self.domain, has_urls) {
            (Some(domain), false) => domain.clone(),
            (None, true) => String::new(),
            _ => {
                let right = "either it must be set, or `api_url` and `sandbox_url`";
                return Err(ConfigError::new(format!("{section}.domain"), right));
            }
        };
        Ok(Upstream {
            domain,
            api_url: self.api_url.clone(),
            sandbox_url: self.sandbox_url.clone(),
            root_certificates: self.root_certificates.clone(),
            only_own_roots: self.only_own_roots,
            proxy: self.proxy.clone(),
            no_proxy: self.no_proxy.clone(),
            idle_connections: self.idle_connections,
        })
    }
}

impl Upstream {
    /// The addresses that this `section` names.
    pub(crate) fn addresses(&self, section: &str) -> Result<Addresses, ConfigError> {
        let error = |name: &str, right| Err(ConfigError::new(format!("{section}{name}"), right));
        match (&self.api_url, &self.sandbox_url) {
            (Some(api), Some(sandboxes)) => Addresses::new(api, sandboxes).or_else(|_| {
                error("", "`api_url` and `sandbox_url` must be a scheme and a host, such as https://api.e2b.app, without a path")
            }),
            (None, None) => Addresses::under(&self.domain)
                .or_else(|_| error(".domain", "it must be a domain, such as e2b.app")),
            (Some(_), None) => error(".sandbox_url", "it must be set as well, since `api_url` is"),
            (None, Some(_)) => error(".api_url", "it must be set as well, since `sandbox_url` is"),
        }
    }
}

/// Checks what the type of a setting does not.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let mut names = HashSet::from([HOME]);
    let mut known = vec![(HOME, config.upstream.addresses("upstream")?)];
    for (at, place) in config.places.iter().enumerate() {
        let section = format!("places[{at}]");
        let error =
            |name: &str, right: String| Err(ConfigError::new(format!("{section}.{name}"), right));
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=32).contains(&place.name.len()) || !place.name.bytes().all(allowed) {
            let right = "it must have 1 to 32 of the characters `a` to `z`, `0` to `9` and `-`";
            return error("name", right.to_owned());
        }
        if !names.insert(&place.name) {
            let right = "it must be another one: `home` is the place of the section `upstream`, and \
                         each other place has a name of its own";
            return error("name", right.to_owned());
        }
        let addresses = place.upstream(&section)?.addresses(&section)?;
        if let Some((name, _)) = known.iter().find(|(_, other)| *other == addresses) {
            return error("domain", format!("it must be another one than that of `{name}`"));
        }
        known.push((&place.name, addresses));
        check_keys(config, place, error)?;
    }
    Ok(())
}

fn check_keys(
    config: &Config,
    place: &Place,
    error: impl Fn(&str, String) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    let of_home: Vec<_> = config.keys.upstream.keys().map(String::as_str).collect();
    let of_home = match of_home.is_empty() {
        true => String::from("there is none: name the keys of home in the section `keys.upstream`"),
        false => of_home.join(", "),
    };
    if place.keys.is_empty() {
        let right = "it must name a key of this place for at least one key of home, such as";
        return error("keys", format!("{right} `team = {{ env = \"E2B_KEY\" }}`: {of_home}"));
    }
    match place.keys.keys().find(|name| !config.keys.upstream.contains_key(*name)) {
        Some(name) => error(
            &format!("keys.{name}"),
            format!("it must have the name of a key of `keys.upstream`: {of_home}"),
        ),
        None => Ok(()),
    }
}
