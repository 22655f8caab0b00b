use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::admission::{QuotaConfig, Stepwise};
use crate::core::Operation;
use crate::e2b::{Timeouts, operation as op};
use crate::health_check::MonitorConfig;
#[cfg(feature = "pool")]
use crate::pool;
use crate::rate_limit::Pace;
use crate::retry::WhenThrottled;
use crate::{admission, circuit_breaker, health_check, rate_limit, retry};

/// The name of the service in rejections and logs.
pub(super) const NAME: &str = "E2B";
/// The name of the proxy in front of all sandboxes.
pub(super) const PROXY_NAME: &str = "E2B sandbox proxy";

/// The numbers that a stack starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Preset {
    /// The recommendations of sandtower.
    #[default]
    Recommended,
    /// Widespread numbers, in the recommended order and with safe creation: breaker 5 failures and 60 s;
    /// retries after 1, 2 and 4 s, 30 s after a rate limit; one probe of a new sandbox, which only warns;
    /// 100 of each operation per hour, in shadow mode; the template `zapdev` for those that do
    /// not exist.
    Classic,
}

/// The configurations of all components of a stack.
pub(super) struct Configs {
    pub(super) timeouts: Timeouts,
    pub(super) default_template: Option<&'static str>,
    pub(super) retry: retry::Config,
    pub(super) health_check: health_check::Config,
    pub(super) admission: admission::Config,
    pub(super) quota: QuotaConfig,
    pub(super) rate_limit: rate_limit::Config,
    pub(super) circuit_breaker: circuit_breaker::Config,
    pub(super) monitor: Option<MonitorConfig>,
    /// `None`: no pool.
    #[cfg(feature = "pool")]
    pub(super) pool: Option<pool::Config>,
}

/// A pool for a team on `plan`.
#[cfg(feature = "pool")]
pub(super) fn pool(plan: Plan) -> pool::Config {
    pool::Config::new()
        .create_every(plan.create_every())
        .max_lifetime(plan.max_lifetime())
        .slots(Some(plan.sandboxes()))
}

impl Preset {
    /// `timeouts` are those of the client.
    pub(super) fn configs(self, plan: Plan, timeouts: Timeouts) -> Configs {
        match self {
            Self::Recommended => Configs {
                timeouts,
                default_template: None,
                // The rate limit below holds throttled calls.
                retry: retry::Config::recommended().when_throttled(WhenThrottled::Requeue),
                health_check: health_check::Config::new(NAME),
                admission: admission(plan),
                quota: quota(plan),
                rate_limit: never_limiting_clean_up(rate_limit::Config::new(NAME))
                    .pace(op::SANDBOX_CREATE, Pace::every(plan.create_every())),
                circuit_breaker: circuit_breaker::Config::recommended(NAME).lease(LEASE),
                monitor: None,
                #[cfg(feature = "pool")]
                pool: None,
            },
            Self::Classic => Configs {
                timeouts,
                default_template: Some("zapdev"),
                retry: retry::Config::classic(),
                health_check: health_check::Config::classic(),
                admission: admission(plan),
                quota: quota(plan),
                rate_limit: never_limiting_clean_up(rate_limit::Config::classic()),
                circuit_breaker: circuit_breaker::Config::classic(NAME).lease(LEASE),
                monitor: None,
                #[cfg(feature = "pool")]
                pool: None,
            },
        }
    }
}

/// Kills free slots for others: limiting them would make things worse.
fn never_limiting_clean_up(config: rate_limit::Config) -> rate_limit::Config {
    [op::SANDBOX_KILL, op::SANDBOX_PAUSE].into_iter().fold(config, rate_limit::Config::exempt)
}

/// A probe may take as long as the longest attempt, plus a second.
const LEASE: Duration = Duration::from_secs(61);

/// The queue of creations keeps its order: callers wait for minutes, those that cannot be served in time
/// are rejected on arrival, and those that are dropped leave the queue.
fn admission(plan: Plan) -> admission::Config {
    let creations = Stepwise::recommended().ceiling(plan.concurrent_creates());
    let config = admission::Config::new(NAME)
        .concurrency_for(op::SANDBOX_CREATE, creations)
        .newest_first_after_for(op::SANDBOX_CREATE, Duration::MAX);
    ADMIT_DURING_SHUTDOWN.into_iter().fold(config, admission::Config::admit_during_shutdown)
}

/// Operations that end sandboxes, and those that check new ones.
pub(super) const ADMIT_DURING_SHUTDOWN: [Operation; 5] =
    [op::SANDBOX_KILL, op::SANDBOX_LIST, op::SANDBOX_CONNECT, op::ENVD_HEALTH, op::PROCESS_START];

/// The operations that take a sandbox of the quota, and those that free one. A connect takes one only if
/// the sandbox was paused, which is not known in advance: then all layers see it as a resume.
fn quota(plan: Plan) -> QuotaConfig {
    let takes = [op::SANDBOX_CREATE, op::SANDBOX_RESUME, op::SANDBOX_FORK];
    let config = takes.into_iter().fold(QuotaConfig::new(NAME), QuotaConfig::takes);
    let frees = [op::SANDBOX_KILL, op::SANDBOX_PAUSE];
    frees.into_iter().fold(config, QuotaConfig::releases).limit(plan.sandboxes())
}
