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

/// How admission control is configured.
///
/// What is set for one operation is kept by its [name](Operation::name).
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

    /// Calls in flight at once, per operation: a number, [`Adaptive`](crate::Adaptive) or
    /// [`Stepwise`](crate::Stepwise).
    #[must_use]
    pub fn concurrency(mut self, limit: impl Into<Limit>) -> Self {
        self.concurrency = limit.into();
        self
    }

    /// Calls in flight at once for one operation.
    #[must_use]
    pub fn concurrency_for(mut self, operation: Operation, limit: impl Into<Limit>) -> Self {
        self.concurrency_for.insert(operation.name().to_owned(), limit.into());
        self
    }

    /// Calls that may wait, per operation; those beyond are rejected at once. 0: no call waits.
    #[must_use]
    pub fn queue(mut self, limit: u32) -> Self {
        self.queue = limit;
        self
    }

    /// How long calls may have been waiting before the newest goes first, until the queue is empty:
    /// 1 s by default. The calls at the front of a standing queue have waited for so long that their
    /// callers may have gone; served first, they would make all others wait as long.
    /// [`Duration::MAX`]: never.
    #[must_use]
    pub fn newest_first_after(mut self, time: Duration) -> Self {
        self.newest_first_after = time;
        self
    }

    /// The same for one operation: where callers wait for minutes, a queue of a second is short.
    #[must_use]
    pub fn newest_first_after_for(mut self, operation: Operation, time: Duration) -> Self {
        self.newest_first_after_for.insert(operation.name().to_owned(), Time(time));
        self
    }

    /// How long a call may wait where the [newest may go first](Self::newest_first_after): 2 min
    /// by default. Without this the oldest calls would wait for as long as the queue lasts.
    #[must_use]
    pub fn longest_wait(mut self, time: Duration) -> Self {
        self.longest_wait = time;
        self
    }

    /// Calls of `operation` clean up after others: they are admitted while admission control
    /// [shuts down](crate::AdmissionControl::begin_shutdown), which does not wait for them.
    #[must_use]
    pub fn admit_during_shutdown(mut self, operation: Operation) -> Self {
        self.admit_during_shutdown.insert(operation.name().to_owned());
        self
    }

    /// Whether a call whose response is a stream with an
    /// [end of its own](sandtower_core::ClassifyResponse::end_of_stream) keeps its slot until then. By
    /// default its slot is free once the head of the response has come. The gates are told how it
    /// ended either way, and a [drain](crate::AdmissionControl::drain) waits for the slots alone.
    #[must_use]
    pub fn slots_to_the_end(mut self, kept: bool) -> Self {
        self.slots_to_the_end = kept;
        self
    }

    /// The classes whose calls wait while a gate is closed and says until when, as an open circuit breaker
    /// does: batch and background by default. The others are rejected at once, with when to come back. A
    /// call waits until the gate may open, if its deadline allows it; no attempt is spent meanwhile. A
    /// gate that does not know when it opens, since an operator closed it, rejects calls either way.
    /// A request may [choose for itself](sandtower_core::Patience).
    #[must_use]
    pub fn hold_through_outage(mut self, classes: impl IntoIterator<Item = Priority>) -> Self {
        self.hold_through_outage = classes.into_iter().collect();
        self
    }

    /// Calls in flight at once, of all operations together, by their [weights](Self::weight_for): any
    /// number by default.
    #[must_use]
    pub fn concurrency_total(mut self, limit: u32) -> Self {
        self.concurrency_total = Some(limit);
        self
    }

    /// Calls in flight at once of each tenant, of all operations together, by their weights: any number
    /// by default.
    #[must_use]
    pub fn concurrency_per_tenant(mut self, limit: u32) -> Self {
        self.concurrency_per_tenant = Some(limit);
        self
    }

    /// A limit on how many calls are admitted in a time, in addition to those set before.
    #[must_use]
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rates.push(rate);
        self
    }

    /// How much a call of `operation` counts, towards the limits in total, per tenant and in a time, and
    /// as the share of its tenant: 1 by default. A call that weighs more than a limit goes alone. The
    /// concurrency of an operation counts calls, whatever they weigh.
    #[must_use]
    pub fn weight_for(mut self, operation: Operation, weight: NonZeroU32) -> Self {
        self.weight_for.insert(operation.name().to_owned(), weight);
        self
    }

    /// Whether its own limits are in shadow mode: no by default. What they would have kept waiting, or
    /// rejected, is [counted](crate::QueueSnapshot::beyond_limit) and let through; gates still decide. To
    /// try limits before they are enforced. [`set_shadow`](crate::AdmissionControl::set_shadow) changes
    /// it at run time.
    #[must_use]
    pub fn shadow(mut self, shadow: bool) -> Self {
        self.shadow = shadow;
        self
    }

    /// Where names and weights of tenants come from. Without it all tenants weigh the same, and
    /// rejections name them by their ids.
    #[must_use]
    pub fn tenants(mut self, tenants: Tenants) -> Self {
        self.tenants = Some(tenants);
        self
    }

    /// Takes the name and the tenants from `base`: a file does not set them.
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

/// A [`Config`] that cannot work.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A limit of 0 calls in flight: nothing would ever be sent.
    #[error(
        "the concurrency for {operation} is 0, so that nothing could ever be sent; it must be at least 1"
    )]
    NoConcurrency {
        /// The operation it was given for.
        operation: String,
    },
    /// A tolerance under which every latency is too long.
    #[error(
        "the tolerance for {operation} is {tolerance}; it must be a number above 1, such as 1.5"
    )]
    Tolerance {
        /// The operation it was given for.
        operation: String,
        /// What it was.
        tolerance: f64,
    },
    /// A rate that allows nothing.
    #[error(
        "the rate `{name}` allows nothing; its count, window and burst must be greater than zero"
    )]
    Rate {
        /// Its name.
        name: String,
    },
    /// A rate that is to be changed, and was not set.
    #[error("there is no rate `{name}`; only rates of the configuration can be changed")]
    UnknownRate {
        /// Its name.
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
