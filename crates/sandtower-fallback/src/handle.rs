use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sandtower_core::{RequestInfo, Verdict};
use serde::Serialize;

pub(crate) const TARGET: &str = "sandtower::fallback";

/// Reads the counters of a [`FallbackLayer`](crate::FallbackLayer)'s services. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    name: Arc<str>,
    used: AtomicU64,
    cured: AtomicU64,
    unsafe_to_replay: AtomicU64,
    out_of_time: AtomicU64,
}

/// Counters since the layer was created. Calls that needed no alternative are not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The alternative.
    pub name: String,
    /// Calls that went to it.
    pub used: u64,
    /// Of those, the ones that succeeded there.
    pub cured: u64,
    /// Failures without the alternative, because they may have had an effect.
    pub unsafe_to_replay: u64,
    /// Failures after the deadline of the call, too late for the alternative.
    pub out_of_time: u64,
}

impl Handle {
    pub(crate) fn new(name: Arc<str>) -> Self {
        let [used, cured, unsafe_to_replay, out_of_time] = Default::default();
        Self { state: Arc::new(State { name, used, cured, unsafe_to_replay, out_of_time }) }
    }

    /// The alternative.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        let State { name, used, cured, unsafe_to_replay, out_of_time } = &*self.state;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            name: name.to_string(),
            used: read(used),
            cured: read(cured),
            unsafe_to_replay: read(unsafe_to_replay),
            out_of_time: read(out_of_time),
        }
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.state.name)
    }

    pub(crate) fn used(&self, info: &RequestInfo, verdict: &Verdict) {
        self.state.used.fetch_add(1, Ordering::Relaxed);
        let (operation, outcome) = (info.operation.name(), verdict.outcome.label());
        let alternative = self.name();
        tracing::info!(target: TARGET, operation, outcome, alternative, "using the alternative");
    }

    pub(crate) fn ended(&self, info: &RequestInfo, verdict: &Verdict) {
        if verdict.is_success() {
            self.state.cured.fetch_add(1, Ordering::Relaxed);
        } else {
            let (operation, outcome) = (info.operation.name(), verdict.outcome.label());
            let alternative = self.name();
            tracing::warn!(
                target: TARGET, operation, outcome, alternative, "the alternative failed as well"
            );
        }
    }

    pub(crate) fn unsafe_to_replay(&self) {
        self.state.unsafe_to_replay.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn out_of_time(&self) {
        self.state.out_of_time.fetch_add(1, Ordering::Relaxed);
    }
}
