//! A stack as a file has it: see [`StackConfig`].

mod sections;

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{BuildError, Builder, Component, Plan, Preset};
use crate::core::settings::duration;
use crate::e2b::Timeouts;

/// A [`Stack`](crate::stack::Stack) as a file has it: what is left out stays as the preset and the
/// plan make it.
///
/// For any format that serde knows. The settings of a component are those of its own configuration,
/// such as [`retry::Config`](crate::retry::Config). Times are texts such as `"250ms"`, `"30s"`, `"2m"`
/// and `"1h"`, or `"none"` for what is endless or never comes; operations are named as in
/// [`e2b::operation`](crate::e2b::operation). Settings by operation are added to those of the preset;
/// every other one replaces its own. Unknown names are rejected, and so is what is said twice. The key
/// to E2B does not belong into a file: it comes with the [`Config`](crate::e2b::Config).
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
/// It is written as it is read: what is left out is not there, and read again it is the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StackConfig {
    /// Where the numbers begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// What the team may do, by name: [`Plan::Custom`] can be neither read nor written here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// What the team may do, by numbers, in place of `plan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_plan: Option<CustomPlan>,
    /// The template in place of those that are not found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_template: Option<String>,
    /// The components to disable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disable: Vec<Component>,
    /// Those of components, by name.
    #[serde(flatten, deserialize_with = "sections::read_once")]
    sections: Map<String, Value>,
}

/// Numbers of one's own: [`Plan::Custom`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CustomPlan {
    /// The time from one creation to the next.
    #[serde(with = "duration")]
    pub create_every: Duration,
    /// Sandboxes that may exist at once.
    pub sandboxes: NonZeroU32,
    /// Creations in flight at once.
    pub concurrent_creates: NonZeroU32,
}

/// What a plan sets.
const PLANNED: [&str; 3] =
    ["quota.limit", "rate_limit.paces.sandbox_create", "admission.concurrency_for.sandbox_create"];

impl StackConfig {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// Something has a name that is not known or a value that is invalid there, or two settings say
    /// one thing: the error names it as a whole, such as `retry.transient.first`.
    pub fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, BuildError> {
        let config: Self = serde_path_to_error::deserialize(from)
            .map_err(|error| sections::invalid(None, &error))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), BuildError> {
        self.check_plan()?;
        let preset = self.preset.unwrap_or_default();
        self.lay_over(&mut preset.configs(Plan::default(), Timeouts::default()))
    }

    /// Of two settings that say one thing, one would win in silence.
    fn check_plan(&self) -> Result<(), BuildError> {
        let plan = match (self.plan, self.custom_plan) {
            (None, None) => return Ok(()),
            (Some(_), None) => "plan",
            (None, Some(_)) => "custom_plan",
            (Some(_), Some(_)) => {
                let why = "`custom_plan` is set as well; remove `plan` to have those numbers";
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
        let why = format!(
            "`{plan}` sets it as well; remove `{name}`: numbers of your own belong in a `custom_plan`"
        );
        Err(BuildError::of(name, why))
    }
}

impl Builder {
    /// Sets what `config` sets. Its settings are laid over those of the preset and the plan, whichever
    /// is called first; of two files the later one wins. What a closure changes, such as that of
    /// [`retry`](Self::retry), it changes last.
    ///
    /// # Errors
    ///
    /// Those of [`StackConfig::read`]. What only a component itself can tell is an error of
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
        let mut builder = config.disable.iter().copied().fold(self, Self::disable);
        builder.files.push(config);
        Ok(builder)
    }
}
