use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sandtower_core::Seed;
use serde::Serialize;

use crate::config::Config;
use crate::decide::Stop;
use crate::on_retry::{OnRetry, RetryEvent};

/// Reads what the services of one [`RetryLayer`](crate::RetryLayer) did. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    config: Config,
    seed: Seed,
    on_retry: OnRetry,
    retries: AtomicU64,
    returns: AtomicU64,
    /// By position in [`Stop`]. Successes at the first attempt are not counted: the common path writes
    /// nothing that threads share.
    stops: [AtomicU64; Stop::COUNT],
}

/// Counters since the layer was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Attempts after the first, each after a wait.
    pub retries: u64,
    /// Times a throttled call returned to the queue below.
    pub returns: u64,
    /// Calls that succeeded after a retry.
    pub cured: u64,
    /// Calls whose work was found to be done.
    pub adopted: u64,
    /// Calls that ended with a failure that another attempt would repeat.
    pub permanent: u64,
    /// Calls that ended because the service asked for no further attempt.
    pub advised: u64,
    /// Calls that failed in all their attempts.
    pub out_of_attempts: u64,
    /// Calls whose next wait did not fit.
    pub out_of_time: u64,
    /// Calls that found the budget empty.
    pub out_of_budget: u64,
    /// Calls that were not safe to repeat.
    pub unsafe_to_replay: u64,
    /// Calls whose request could not be sent again.
    pub sent_once: u64,
    /// Calls that found no slot.
    pub exhausted: u64,
    /// Calls that ended because the caller's own side failed, such as its request body.
    pub cancelled: u64,
    /// Calls that a layer below rejected.
    pub rejected: u64,
}

impl Handle {
    pub(crate) fn new(config: Config, seed: Seed, on_retry: OnRetry) -> Self {
        let state = State {
            config,
            seed,
            on_retry,
            retries: AtomicU64::new(0),
            returns: AtomicU64::new(0),
            stops: Default::default(),
        };
        Self { state: Arc::new(state) }
    }

    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        let stopped = |stop: Stop| self.state.stops[stop as usize].load(Ordering::Relaxed);
        Snapshot {
            retries: self.state.retries.load(Ordering::Relaxed),
            returns: self.state.returns.load(Ordering::Relaxed),
            cured: stopped(Stop::Success),
            adopted: stopped(Stop::Adopted),
            permanent: stopped(Stop::Permanent),
            advised: stopped(Stop::Advised),
            out_of_attempts: stopped(Stop::OutOfAttempts),
            out_of_time: stopped(Stop::OutOfTime),
            out_of_budget: stopped(Stop::OutOfBudget),
            unsafe_to_replay: stopped(Stop::UnsafeToReplay),
            sent_once: stopped(Stop::SentOnce),
            exhausted: stopped(Stop::Exhausted),
            cancelled: stopped(Stop::Cancelled),
            rejected: stopped(Stop::Rejected),
        }
    }

    #[inline]
    pub(crate) fn config(&self) -> &Config {
        &self.state.config
    }

    pub(crate) fn seed(&self) -> &Seed {
        &self.state.seed
    }

    pub(crate) fn hook(&self) -> OnRetry {
        self.state.on_retry.clone()
    }

    pub(crate) fn on_retry(&self, event: &RetryEvent) {
        self.state.on_retry.call(event);
    }

    pub(crate) fn retried(&self) {
        self.state.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn returned(&self) {
        self.state.returns.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stopped(&self, stop: Stop) {
        self.state.stops[stop as usize].fetch_add(1, Ordering::Relaxed);
    }
}
