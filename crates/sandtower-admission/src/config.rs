use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use sandtower_core::settings::{Time, duration};
use sandtower_core::{Operation, Priority, Tenants};
use serde::{Deserialize, Serialize};

use crate::limiter::Limit;
use crate::queue::Order;
use crate::rate::Rate;

/// The configuration of admission control.
///
/// Settings for one operation are stored under its [name](Operation::name).
///
/// ```
/// use sandtower_admission::Config;
/// use sandtower_core::Operation;
///
/// const CREATE: Operation = Operation::new(1, "sandbox_create");
/// let config = Config::new("E2B").concurrency(64).concurrency_for(CREATE, 2).queue(1_000);
/// # let _ = config;
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(skip)]
    pub(crate) name: Arc<str>,
    pub(crate) concurrency: Limit,
    pub(crate) concurrency_for: BTreeMap<String, Limit>,
    pub(crate) queue: u32,
    #[serde(with = "duration")]
    newest_first_after: Duration,
    newest_first_after_for: BTreeMap<String, Time>,
    #[serde(with = "duration")]
    longest_wait: Duration,
    admit_during_shutdown: BTreeSet<String>,
    pub(crate) slots_to_the_end: bool,
    hold_through_outage: Vec<Priority>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) concurrency_total: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) concurrency_per_tenant: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rates: Vec<Rate>,
    weight_for: BTreeMap<String, NonZeroU32>,
    pub(crate) shadow: bool,
    #[serde(skip)]
    pub(crate) tenants: Option<Tenants>,
}

impl Config {
    /// 64 calls in flight and 1,024 in the queue per operation. `name` appears in rejections and
    /// logs.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            concurrency: Limit::Fixed(64),
            concurrency_for: BTreeMap::new(),
            queue: 1_024,
            newest_first_after: Duration::from_secs(1),
            newest_first_after_for: BTreeMap::new(),
            longest_wait: Duration::from_secs(120),
            admit_during_shutdown: BTreeSet::new(),
            slots_to_the_end: false,
            hold_through_outage: vec![Priority::Batch, Priority::Background],
            concurrency_total: None,
            concurrency_per_tenant: None,
            rates: Vec::new(),
            weight_for: BTreeMap::new(),
            shadow: false,
            tenants: None,
        }
    }

    /// Maximum calls in flight, per operation: a number, [`Adaptive`](crate::Adaptive) or
    /// [`Stepwise`](crate::Stepwise).
    #[must_use]
    pub fn concurrency(mut self, limit: impl Into<Limit>) -> Self {
        self.concurrency = limit.into();
        self
    }

    /// Maximum calls in flight for one operation.
    #[must_use]
    pub fn concurrency_for(mut self, operation: Operation, limit: impl Into<Limit>) -> Self {
        self.concurrency_for.insert(operation.name().to_owned(), limit.into());
        self
    }

    /// Maximum calls in the queue, per operation. Calls beyond it are rejected immediately. 0: no queue.
    #[must_use]
    pub fn queue(mut self, limit: u32) -> Self {
        self.queue = limit;
        self
    }

    /// The waiting time beyond which a queue serves its newest call first, until it is empty: 1 s by
    /// default, [`Duration::MAX`] for never. The oldest calls of a standing queue have waited so long
    /// that their callers may be gone; serving them first would make every other call wait as long.
    #[must_use]
    pub fn newest_first_after(mut self, time: Duration) -> Self {
        self.newest_first_after = time;
        self
    }

    /// Sets [`newest_first_after`](Self::newest_first_after) for one operation. Where callers expect to
    /// wait for minutes, 1 s is too short.
    #[must_use]
    pub fn newest_first_after_for(mut self, operation: Operation, time: Duration) -> Self {
        self.newest_first_after_for.insert(operation.name().to_owned(), Time(time));
        self
    }

    /// The longest time a call may wait in a queue that serves the
    /// [newest first](Self::newest_first_after): 2 min by default. Without it the oldest calls would
    /// wait until the queue is empty.
    #[must_use]
    pub fn longest_wait(mut self, time: Duration) -> Self {
        self.longest_wait = time;
        self
    }

    /// Admits calls of `operation` while admission control
    /// [shuts down](crate::AdmissionControl::begin_shutdown), which does not wait for them. For operations
    /// that clean up after others.
    #[must_use]
    pub fn admit_during_shutdown(mut self, operation: Operation) -> Self {
        self.admit_during_shutdown.insert(operation.name().to_owned());
        self
    }

    /// Whether a call whose response is a stream with an
    /// [end of its own](sandtower_core::ClassifyResponse::end_of_stream) keeps its slot until then. By
    /// default the slot is free once the head of the response has arrived. Either way the gates record how
    /// the stream ended, and a [drain](crate::AdmissionControl::drain) waits for the slots only.
    #[must_use]
    pub fn slots_to_the_end(mut self, kept: bool) -> Self {
        self.slots_to_the_end = kept;
        self
    }

    /// The classes whose calls wait while a gate is closed until a known instant, such as an open circuit
    /// breaker: batch and background by default. Calls of other classes are rejected immediately, with a
    /// time to retry after. A call waits until the gate may open, if its deadline allows, and uses no
    /// attempt meanwhile. A gate without such an instant, such as a breaker that an operator forced open,
    /// rejects calls of all classes. A request can [override this](sandtower_core::Patience).
    #[must_use]
    pub fn hold_through_outage(mut self, classes: impl IntoIterator<Item = Priority>) -> Self {
        self.hold_through_outage = classes.into_iter().collect();
        self
    }

    /// Maximum calls in flight, of all operations together, by [weight](Self::weight_for). Unlimited by
    /// default.
    #[must_use]
    pub fn concurrency_total(mut self, limit: u32) -> Self {
        self.concurrency_total = Some(limit);
        self
    }

    /// Maximum calls in flight per tenant, of all operations together, by weight. Unlimited by default.
    #[must_use]
    pub fn concurrency_per_tenant(mut self, limit: u32) -> Self {
        self.concurrency_per_tenant = Some(limit);
        self
    }

    /// Adds a limit on the rate at which calls are admitted.
    #[must_use]
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rates.push(rate);
        self
    }

    /// The weight of a call of `operation`: how much it counts towards the total limit, the limit per
    /// tenant, rates and its tenant's fair share. 1 by default. A call heavier than a limit is admitted
    /// alone. The concurrency per operation counts calls regardless of weight.
    #[must_use]
    pub fn weight_for(mut self, operation: Operation, weight: NonZeroU32) -> Self {
        self.weight_for.insert(operation.name().to_owned(), weight);
        self
    }

    /// Whether the limits are in shadow mode: `false` by default. In shadow mode calls that a limit would
    /// have queued or rejected are [counted](crate::QueueSnapshot::beyond_limit) and admitted; gates are
    /// still enforced. Use it to try limits before enforcing them.
    /// [`set_shadow`](crate::AdmissionControl::set_shadow) changes it at run time.
    #[must_use]
    pub fn shadow(mut self, shadow: bool) -> Self {
        self.shadow = shadow;
        self
    }

    /// The table of tenant names and weights. Without it all tenants have the same weight, and rejections
    /// show their ids.
    #[must_use]
    pub fn tenants(mut self, tenants: Tenants) -> Self {
        self.tenants = Some(tenants);
        self
    }

    /// Takes the name and the tenants from `base`: a configuration file does not set them.
    #[must_use]
    pub fn inherit(self, base: &Self) -> Self {
        Self { name: Arc::clone(&base.name), tenants: base.tenants.clone(), ..self }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.concurrency.check("every operation")?;
        ConfigError::unless_positive("all operations", self.concurrency_total)?;
        ConfigError::unless_positive("each tenant", self.concurrency_per_tenant)?;
        self.rates.iter().try_for_each(Rate::check)?;
        self.concurrency_for.iter().try_for_each(|(operation, limit)| limit.check(operation))
    }

    pub(crate) fn limit_of(&self, operation: Operation) -> Limit {
        self.concurrency_for.get(operation.name()).copied().unwrap_or(self.concurrency)
    }

    pub(crate) fn order(&self, operation: Operation) -> Order {
        let own = self.newest_first_after_for.get(operation.name());
        Order {
            newest_first_after: own.map_or(self.newest_first_after, |Time(time)| *time),
            longest_wait: self.longest_wait,
        }
    }

    pub(crate) fn weight_of(&self, operation: Operation) -> u32 {
        self.weight_for.get(operation.name()).map_or(1, |weight| weight.get())
    }

    /// Whether calls of this class wait while a gate is closed.
    pub(crate) fn holds(&self, priority: Priority) -> bool {
        self.hold_through_outage.contains(&priority)
    }

    /// Whether calls of the operation of this name are admitted during shutdown.
    pub(crate) fn cleans_up(&self, operation: &str) -> bool {
        self.admit_during_shutdown.contains(operation)
    }
}

/// An invalid [`Config`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A limit of 0 calls in flight: no call could be sent.
    #[error(
        "the concurrency for {operation} is 0, so no call could be sent; it must be at least 1"
    )]
    NoConcurrency {
        /// The operation.
        operation: String,
    },
    /// A tolerance that is not a number greater than 1: every latency would be too high.
    #[error(
        "the tolerance for {operation} is {tolerance}; it must be a number greater than 1, such as 1.5"
    )]
    Tolerance {
        /// The operation.
        operation: String,
        /// The invalid tolerance.
        tolerance: f64,
    },
    /// A rate that admits no calls.
    #[error(
        "the rate `{name}` admits no calls; its count, window and burst must be greater than zero"
    )]
    Rate {
        /// The name of the rate.
        name: String,
    },
    /// A change to a rate that the configuration does not contain.
    #[error("there is no rate `{name}`; only rates of the configuration can be changed")]
    UnknownRate {
        /// The name of the rate.
        name: String,
    },
}

impl ConfigError {
    pub(crate) fn unless_positive(of: &str, limit: Option<u32>) -> Result<(), Self> {
        match limit {
            Some(0) => Err(Self::NoConcurrency { operation: of.to_owned() }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
