//! The sections of a file: each overrides the configuration of its component, which knows the names.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::{DeserializeOwned, DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::{Map, Value};

use super::StackConfig;
use crate::admission::{self, QuotaConfig};
use crate::core::Operation;
use crate::core::settings::Time;
use crate::e2b::{Probe, Timeouts, operation as op};
use crate::health_check::MonitorConfig;
#[cfg(feature = "pool")]
use crate::stack::preset;
use crate::stack::preset::{Configs, NAME};
use crate::stack::{BuildError, Component, Plan};
use crate::{circuit_breaker, health_check, rate_limit};

/// Settings by operation: they are added to those of other operations.
const BY_OPERATION: [&str; 8] = [
    "admit_during_shutdown",
    "concurrency_for",
    "exempt",
    "limits",
    "newest_first_after_for",
    "operations",
    "paces",
    "weight_for",
];

impl StackConfig {
    /// Applies the settings of this file to `configs`.
    pub(in crate::stack) fn lay_over(
        &self,
        configs: &mut Configs,
        plan: Plan,
    ) -> Result<(), BuildError> {
        for (name, section) in &self.sections {
            let component = Component::ALL.iter().find(|component| component.name() == name);
            let component = component.ok_or_else(|| unknown(name))?;
            let not_one = || BuildError::of(name, format!("must be a section, not {section}"));
            let section = section.as_object().ok_or_else(not_one)?;
            let Configs { timeouts, retry, admission, quota, rate_limit, .. } = configs;
            match component {
                Component::Deadline => limit(name, section, timeouts, Timeouts::call)?,
                Component::Timeout => limit(name, section, timeouts, Timeouts::attempt)?,
                Component::Retry => lay(name, section, retry, |new, _| new)?,
                Component::HealthCheck => {
                    // The probe is not a setting of the layer.
                    self.probe()?;
                    let mut section = section.clone();
                    section.remove("probe");
                    lay(name, &section, &mut configs.health_check, health_check::Config::inherit)?;
                }
                Component::Admission => lay(name, section, admission, admission::Config::inherit)?,
                Component::Quota => lay(name, section, quota, QuotaConfig::inherit)?,
                Component::RateLimit => {
                    lay(name, section, rate_limit, rate_limit::Config::inherit)?;
                }
                Component::CircuitBreaker => {
                    let breaker = &mut configs.circuit_breaker;
                    lay(name, section, breaker, circuit_breaker::Config::inherit)?;
                }
                Component::Monitor => {
                    let monitor = configs.monitor.get_or_insert_with(|| MonitorConfig::new(NAME));
                    lay(name, section, monitor, MonitorConfig::inherit)?;
                }
                #[cfg(feature = "pool")]
                Component::Pool => {
                    let pool = configs.pool.get_or_insert_with(|| preset::pool(plan));
                    lay(name, section, pool, crate::pool::Config::inherit)?;
                }
                #[cfg(not(feature = "pool"))]
                Component::Pool => {
                    let _ = plan;
                    return Err(BuildError::of(name, "needs the feature `pool` of `sandtower`"));
                }
                Component::DefaultTemplate => return Err(unknown(name)),
            }
        }
        Ok(())
    }

    pub(super) fn probe(&self) -> Result<Option<Probe>, BuildError> {
        let section = self.sections.get(Component::HealthCheck.name());
        let probe = section.and_then(|section| section.get("probe"));
        probe.map(|probe| read("health_check.probe", probe.clone())).transpose()
    }
}

fn unknown(name: &str) -> BuildError {
    let keys = ["preset", "plan", "custom_plan", "disable"].into_iter();
    let all: Vec<_> = keys.chain(Component::ALL.iter().map(|component| component.name())).collect();
    let why = format!("unknown field `{name}`, expected one of `{}`", all.join("`, `"));
    BuildError::of(name, why)
}

/// Replaces in `config` what `section` sets; `inherit` keeps the settings that no file has.
fn lay<T: Serialize + DeserializeOwned>(
    name: &str,
    section: &Map<String, Value>,
    config: &mut T,
    inherit: fn(T, &T) -> T,
) -> Result<(), BuildError> {
    let mut all = serde_json::to_value(&*config).map_err(|error| BuildError::of(name, error))?;
    for (key, value) in section {
        let by_operation = BY_OPERATION.contains(&key.as_str());
        if by_operation {
            let names = value.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
            let listed = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            for operation in names.chain(listed) {
                named(&format!("{name}.{key}"), operation)?;
            }
        }
        if key == "rates" {
            let rates = value.as_array().into_iter().flatten();
            let operations = rates.filter_map(|rate| rate.get("operations")?.as_array()).flatten();
            for operation in operations.filter_map(Value::as_str) {
                named(&format!("{name}.{key}.operations"), operation)?;
            }
        }
        match (&mut all[key], value) {
            (Value::Object(all), Value::Object(own)) if by_operation => all.extend(own.clone()),
            (other, value) => *other = value.clone(),
        }
    }
    *config = inherit(read(name, all)?, config);
    Ok(())
}

/// Sets limits by operation.
fn limit(
    name: &str,
    section: &Map<String, Value>,
    timeouts: &mut Timeouts,
    set: fn(Timeouts, Operation, Option<Duration>) -> Timeouts,
) -> Result<(), BuildError> {
    let limits: BTreeMap<String, Time> = read(name, Value::Object(section.clone()))?;
    for (operation, Time(limit)) in limits {
        let of = named(name, &operation)?;
        if limit.is_zero() {
            let why = "must be greater than zero; \"none\" is no limit";
            return Err(BuildError::of(format_args!("{name}.{operation}"), why));
        }
        let limit = (limit != Duration::MAX).then_some(limit);
        *timeouts = set(std::mem::take(timeouts), of, limit);
    }
    Ok(())
}

/// The operation with this name, in `setting`.
fn named(setting: &str, name: &str) -> Result<Operation, BuildError> {
    let found = op::ALL.iter().find(|operation| operation.name() == name).copied();
    found.ok_or_else(|| {
        let names: Vec<_> = op::ALL.iter().map(|operation| operation.name()).collect();
        let why = format!("unknown operation `{name}`, expected one of {}", names.join(", "));
        BuildError::of(setting, why)
    })
}

fn read<T: DeserializeOwned>(name: &str, value: Value) -> Result<T, BuildError> {
    serde_path_to_error::deserialize(value).map_err(|error| invalid(Some(name), &error))
}

/// The error of a section, or of the whole file.
pub(super) fn invalid<E: std::fmt::Display>(
    section: Option<&str>,
    error: &serde_path_to_error::Error<E>,
) -> BuildError {
    let path = Some(error.path().to_string()).filter(|path| path != ".");
    let name: Vec<_> = section.into_iter().chain(path.as_deref()).collect();
    let name = if name.is_empty() { String::from("the file") } else { name.join(".") };
    BuildError::of(name, error.inner().to_string().trim_end())
}

/// Reads sections and rejects duplicate keys, of which the last would silently win.
pub(super) fn read_once<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Map<String, Value>, D::Error> {
    match from.deserialize_map(Once(""))? {
        Value::Object(sections) => Ok(sections),
        other => Err(D::Error::custom(format!("must have sections, not {other}"))),
    }
}

/// Attributes errors to the setting with this name.
#[derive(Clone, Copy)]
struct Once<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

macro_rules! values {
    ($($visit:ident($type:ty))*) => {
        $(fn $visit<E>(self, value: $type) -> Result<Value, E> {
            Ok(value.into())
        })*
    };
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a setting")
    }

    values!(visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64) visit_str(&str));

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(value) = from.next_element_seed(self)? {
            all.push(value);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = from.next_key::<String>()? {
            let path = if self.0.is_empty() { key.clone() } else { format!("{}.{key}", self.0) };
            if all.insert(key, from.next_value_seed(Once(&path))?).is_some() {
                return Err(A::Error::custom(format!("`{path}` is set twice; remove one of them")));
            }
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Preset;

    #[test]
    fn all_settings_by_operation_are_known_and_no_others() {
        let configs = Preset::default().configs(Plan::default(), Timeouts::default());
        let all = [
            serde_json::to_value(configs.retry),
            serde_json::to_value(configs.health_check),
            serde_json::to_value(configs.admission),
            serde_json::to_value(configs.quota),
            serde_json::to_value(configs.rate_limit),
            serde_json::to_value(configs.circuit_breaker),
            serde_json::to_value(MonitorConfig::new(NAME)),
        ];
        let is_operation = |name: &str| named("any", name).is_ok();
        let by_operation = |value: &Value| match value {
            Value::Object(values) => values.keys().all(|name| is_operation(name)),
            Value::Array(values) => {
                values.iter().all(|value| value.as_str().is_some_and(is_operation))
            }
            _ => false,
        };
        let all = all.into_iter().flat_map(|all| all.unwrap().as_object().unwrap().clone());
        let mut found: Vec<_> = all.filter(|(_, value)| by_operation(value)).collect();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        let found: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, BY_OPERATION);
    }
}
