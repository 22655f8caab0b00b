//! How a simulator is set up.

use std::time::{Duration, SystemTime};
use std::{collections::BTreeMap, sync::Arc};

use crate::dice::{Subject, dice, letters, number_of};
use crate::fault::Fault;
use crate::plan::{Limits, Plan};
use crate::runner::Runner;
use crate::scenario::Scenario;
use crate::script::ScriptedRunner;
use crate::world::World;

/// What a simulator is created from, by [`Config::build`].
///
/// ```
/// use sandtower_sim::{Config, Plan, World};
///
/// let sim = Config::new().seed(7).plan(Plan::Pro).world(World::stress()).build()?;
/// assert_eq!(sim.active(), 0);
/// # Ok::<(), sandtower_sim::InvalidConfig>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) seed: u64,
    pub(crate) world: World,
    pub(crate) limits: Limits,
    pub(crate) api_keys: Option<Vec<String>>,
    pub(crate) blocked_keys: Vec<String>,
    pub(crate) faults: Vec<Fault>,
    /// By name.
    pub(crate) templates: BTreeMap<String, Template>,
    pub(crate) epoch: SystemTime,
    pub(crate) call_key: String,
    pub(crate) ledger_capacity: usize,
    pub(crate) runner: Arc<dyn Runner>,
}

/// The version of envd that is simulated, and that templates have unless they name another.
pub(crate) const ENVD_VERSION: &str = "0.6.13";

/// What sandboxes are started from.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) id: String,
    /// What its sandboxes tell of their envd.
    pub(crate) envd_version: Arc<str>,
}

impl Config {
    /// A calm world, the hobby plan, seed 0, templates `base` and `code-interpreter-v1`.
    #[must_use]
    pub fn new() -> Self {
        let config = Self {
            seed: 0,
            world: World::calm(),
            limits: Plan::Hobby.limits(),
            api_keys: None,
            blocked_keys: Vec::new(),
            faults: Vec::new(),
            templates: BTreeMap::new(),
            // The first second of 2026: the dates of a run are the same on any day.
            epoch: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600),
            call_key: String::from("sandtower-call"),
            ledger_capacity: 10_000,
            runner: Arc::new(ScriptedRunner),
        };
        config.template("base").template("code-interpreter-v1")
    }

    /// Where all chance comes from: the same seed and the same requests give the same ledger.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// What the service is like.
    #[must_use]
    pub fn world(self, world: World) -> Self {
        Self { world, ..self }
    }

    /// Gives every team the limits of a plan.
    #[must_use]
    pub fn plan(self, plan: Plan) -> Self {
        self.limits(plan.limits())
    }

    /// Gives every team these limits.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Accepts these API keys only, each one a team of its own. Without this, any key that begins
    /// with `e2b_` is accepted.
    #[must_use]
    pub fn api_keys(self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { api_keys: Some(keys.into_iter().map(Into::into).collect()), ..self }
    }

    /// Blocks the teams of these keys: they may look and kill, and all else is a 403.
    #[must_use]
    pub fn blocked_keys(self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { blocked_keys: keys.into_iter().map(Into::into).collect(), ..self }
    }

    /// What goes wrong besides what the world brings about.
    #[must_use]
    pub fn faults(self, faults: Vec<Fault>) -> Self {
        Self { faults, ..self }
    }

    /// The world, the faults and, if it names one, the plan of a scenario.
    #[must_use]
    pub fn scenario(self, scenario: Scenario) -> Self {
        let Scenario { plan, world, faults, .. } = scenario;
        let config = self.world(world).faults(faults);
        match plan {
            Some(plan) => config.plan(plan),
            None => config,
        }
    }

    /// Adds a template that every team may start.
    #[must_use]
    pub fn template(self, name: impl Into<String>) -> Self {
        self.template_with_envd(name, ENVD_VERSION)
    }

    /// Adds a template whose sandboxes report this version of envd: clients do without the features that
    /// an old one lacks, or reject it. Responses are the same.
    #[must_use]
    pub fn template_with_envd(
        mut self,
        name: impl Into<String>,
        envd_version: impl Into<Arc<str>>,
    ) -> Self {
        let (name, envd_version) = (name.into(), envd_version.into());
        let id = letters(&mut dice(0, Subject::Template, number_of(&name)), 20);
        self.templates.insert(name, Template { id, envd_version });
        self
    }

    /// The date at which the simulator's time begins; only the dates in responses follow it.
    #[must_use]
    pub fn epoch(self, epoch: SystemTime) -> Self {
        Self { epoch, ..self }
    }

    /// Which metadata, or else which header, of a creation names the call that it is made for:
    /// [`SandboxRecord::call`](crate::SandboxRecord::call). It is `sandtower-call` at first.
    #[must_use]
    pub fn call_key(self, name: impl Into<String>) -> Self {
        Self { call_key: name.into(), ..self }
    }

    /// How many ended sandboxes the ledger keeps; older ones are only counted. 10,000 at first.
    #[must_use]
    pub fn ledger_capacity(self, sandboxes: usize) -> Self {
        Self { ledger_capacity: sandboxes, ..self }
    }

    /// What runs commands and code, in place of the [`ScriptedRunner`].
    #[must_use]
    pub fn runner(self, runner: impl Runner) -> Self {
        Self { runner: Arc::new(runner), ..self }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
