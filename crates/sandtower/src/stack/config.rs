//! The configuration file of a stack: see [`StackConfig`].

mod sections;

use std::num::NonZeroU32;
use std::time::Duration;

use ::http::HeaderName;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{BuildError, Builder, Component, Plan, Preset};
use crate::core::TenantsConfig;
use crate::core::settings::duration;
use crate::e2b::Timeouts;

/// The configuration file of a [`Stack`](crate::stack::Stack). Absent settings are those of the preset and
/// the plan.
///
/// For any format that serde supports. The settings of a component are those of its configuration, such as
/// [`retry::Config`](crate::retry::Config). Durations are strings such as `"250ms"`, `"30s"`, `"2m"` and
/// `"1h"`, or `"none"` for no limit; operations have their names from
/// [`e2b::operation`](crate::e2b::operation). Settings by operation are merged into those of the preset;
/// all others replace them. Unknown names and duplicate settings are errors. The API key does not belong
/// in a file: it comes with the [`Config`](crate::e2b::Config).
///
/// ```
/// use sandtower::e2b::Config;
/// use sandtower::stack::{Stack, StackConfig};
///
/// let text = r#"
///     plan = "pro"
///     default_template = "base"
///     disable = ["health_check"]
///
///     [timeout]
///     file_read = "10s"
///
///     [retry]
///     attempts = 3
///     transient = { first = "500ms", most = "10s", jitter = true }
///
///     [circuit_breaker]
///     trip = { consecutive_failures = 5 }
///     open_for = "30s"
/// "#;
/// let config = StackConfig::read(toml::Deserializer::parse(text)?)?;
/// let stack = Stack::builder(Config::new("e2b_0123")?).configure(config)?.build()?;
/// # let _ = stack;
/// # Ok::<(), sandtower::core::BoxError>(())
/// ```
///
/// It is serialised as it was read: absent settings stay absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StackConfig {
    /// The preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// The plan, by name: [`Plan::Custom`] can be neither read nor written here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The limits of the team by numbers, instead of `plan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_plan: Option<CustomPlan>,
    /// The template for those that do not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_template: Option<String>,
    /// The table of tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenants: Option<TenantsConfig>,
    /// The header whose value is the key of the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_header: Option<String>,
    /// The header whose value is the priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_header: Option<String>,
    /// The components to disable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disable: Vec<Component>,
    /// The settings of components, by name.
    #[serde(flatten, deserialize_with = "sections::read_once")]
    sections: Map<String, Value>,
}

/// Custom limits: [`Plan::Custom`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CustomPlan {
    /// The interval between creations.
    #[serde(with = "duration")]
    pub create_every: Duration,
    /// Concurrent sandboxes.
    pub sandboxes: NonZeroU32,
    /// Concurrent creations.
    pub concurrent_creates: NonZeroU32,
}

/// Settings that come from a plan.
const PLANNED: [&str; 3] =
    ["quota.limit", "rate_limit.paces.sandbox_create", "admission.concurrency_for.sandbox_create"];

impl StackConfig {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// A name is unknown, a value is invalid, or two settings conflict: the error gives the full name,
    /// such as `retry.transient.first`.
    pub fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, BuildError> {
        let config: Self = serde_path_to_error::deserialize(from)
            .map_err(|error| sections::invalid(None, &error))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), BuildError> {
        self.check_plan()?;
        self.headers()?;
        let preset = self.preset.unwrap_or_default();
        let plan = self.plan.unwrap_or_default();
        self.lay_over(&mut preset.configs(plan, Timeouts::default()), plan)
    }

    /// Those of the tenant and of the priority.
    fn headers(&self) -> Result<[Option<HeaderName>; 2], BuildError> {
        let read = |setting, name: &Option<String>| {
            let name = name.as_deref().map(str::parse::<HeaderName>).transpose();
            name.map_err(|_| BuildError::of(setting, "it must be the name of a header field"))
        };
        Ok([
            read("tenant_header", &self.tenant_header)?,
            read("priority_header", &self.priority_header)?,
        ])
    }

    /// One of two conflicting settings would silently win.
    fn check_plan(&self) -> Result<(), BuildError> {
        let plan = match (self.plan, self.custom_plan) {
            (None, None) => return Ok(()),
            (Some(_), None) => "plan",
            (None, Some(_)) => "custom_plan",
            (Some(_), Some(_)) => {
                let why = "conflicts with `custom_plan`; remove `plan` or `custom_plan`";
                return Err(BuildError::of("plan", why));
            }
        };
        let is_set = |name: &str| {
            let (section, setting) = name.split_once('.').unwrap_or((name, ""));
            let pointer = format!("/{}", setting.replace('.', "/"));
            self.sections.get(section).is_some_and(|section| section.pointer(&pointer).is_some())
        };
        // No plan sets a pace there.
        let paced = self.preset != Some(Preset::Classic);
        let mut planned = PLANNED.iter().filter(|name| paced || !name.contains("paces"));
        let Some(name) = planned.find(|name| is_set(name)) else { return Ok(()) };
        let why = format!("conflicts with `{plan}`; remove `{name}`, or set a `custom_plan`");
        Err(BuildError::of(name, why))
    }
}

impl Builder {
    /// Applies `config`. Its settings override those of the preset and the plan, in any order of calls; of
    /// two files the later one wins. Changes by a function, such as that of [`retry`](Self::retry), apply
    /// last.
    ///
    /// # Errors
    ///
    /// Those of [`StackConfig::read`]. Errors that only a component can detect are returned by
    /// [`build`](Self::build).
    pub fn configure(mut self, mut config: StackConfig) -> Result<Self, BuildError> {
        config.check()?;
        self.preset = config.preset.unwrap_or(self.preset);
        let custom = config.custom_plan.map(|own| Plan::Custom {
            create_every: own.create_every,
            sandboxes: own.sandboxes,
            concurrent_creates: own.concurrent_creates,
        });
        self.plan = custom.or(config.plan).unwrap_or(self.plan);
        self.probe = config.probe()?.unwrap_or(self.probe);
        self.default_template =
            config.default_template.take().map(Into::into).or(self.default_template);
        self.tenants = config.tenants.clone().or(self.tenants);
        let [tenant, priority] = config.headers()?;
        self.tenant_header = tenant.or(self.tenant_header);
        self.priority_header = priority.or(self.priority_header);
        let mut builder = config.disable.iter().copied().fold(self, Self::disable);
        builder.files.push(config);
        Ok(builder)
    }
}
