use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_core::{CallEnd, MetricSource, ObserveCalls, Operation, Outcome, StageKind};
use serde::Serialize;

/// The upper bounds of the buckets, in seconds; one more bucket has no bound. Creations take seconds,
/// and a call may take two minutes.
pub const BOUNDS: &[f64] =
    &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0];

const BUCKETS: usize = BOUNDS.len() + 1;

/// What is timed, by the value of the label `stage`.
const STAGES: [&str; 5] = ["call", "attempt", "queue", "backoff", "health_check"];

const OUTCOMES: usize = 8;

/// Histograms of how long calls and their stages take, and counts of their outcomes, by group of
/// operations. Cheap to clone; clones are one.
///
/// It observes calls, so give it to the stack, and to a [`Registry`](crate::Registry) to export it. A
/// call costs two atomic additions for itself and for each of its stages; no lock, unless the call
/// belongs to a trace that is sampled, which becomes the exemplar of its bucket.
///
/// ```
/// use sandtower::e2b::operation;
/// use sandtower_telemetry::{Durations, Registry};
///
/// let durations = Durations::new(operation::GROUPS, operation::group);
/// let registry = Registry::new();
/// registry.add("e2b", durations.clone())?;
/// # Ok::<(), sandtower_telemetry::AddError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Durations {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    groups: &'static [&'static str],
    group: fn(Operation) -> usize,
    of_groups: Box<[Group]>,
}

#[derive(Debug, Default)]
struct Group {
    stages: [Histogram; STAGES.len()],
    outcomes: [AtomicU64; OUTCOMES],
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
    /// Of the last call of each bucket in a sampled trace.
    exemplars: Mutex<[Option<(u128, Duration)>; BUCKETS]>,
}

impl Durations {
    /// Keeps histograms for each of `groups`, a name for each value of the label `group`; `group` is the
    /// position of an operation's group in that list, and the last one is taken for positions beyond it.
    ///
    /// # Panics
    ///
    /// `groups` is empty.
    pub fn new(groups: &'static [&'static str], group: fn(Operation) -> usize) -> Self {
        assert!(!groups.is_empty(), "`groups` is empty: name at least one group of operations");
        let of_groups = groups.iter().map(|_| Group::default()).collect();
        Self { shared: Arc::new(Shared { groups, group, of_groups }) }
    }

    fn group(&self, operation: Operation) -> &Group {
        let last = self.shared.of_groups.len() - 1;
        &self.shared.of_groups[(self.shared.group)(operation).min(last)]
    }
}

impl ObserveCalls for Durations {
    fn call_ended(&self, call: &CallEnd<'_>) {
        let group = self.group(call.info.operation);
        let trace = call.trace.filter(|trace| trace.is_sampled()).map(|trace| trace.trace_id());
        group.outcomes[outcome(call.outcome())].fetch_add(1, Ordering::Relaxed);
        group.stages[0].record(call.explanation.total(), trace);
        for stage in call.explanation.stages() {
            let at = match stage.kind {
                StageKind::Attempt => 1,
                StageKind::Queue => 2,
                StageKind::Backoff => 3,
                StageKind::HealthCheck => 4,
                _ => continue,
            };
            group.stages[at].record(stage.took, trace);
        }
    }
}

impl Histogram {
    fn record(&self, took: Duration, trace: Option<u128>) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        // An exemplar is one of many: not worth a wait.
        if let (Some(trace), Ok(mut exemplars)) = (trace, self.exemplars.try_lock()) {
            exemplars[bucket] = Some((trace, took));
        }
    }

    fn exemplars(&self) -> Vec<Option<ExemplarRow>> {
        let Ok(exemplars) = self.exemplars.try_lock().map(|exemplars| *exemplars) else {
            return vec![];
        };
        let row = |(trace, took): (u128, Duration)| ExemplarRow {
            trace_id: format!("{trace:032x}"),
            value: took.as_secs_f64(),
        };
        exemplars.into_iter().map(|exemplar| exemplar.map(row)).collect()
    }
}

fn outcome(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Success => 0,
        Outcome::Transient => 1,
        Outcome::Throttled => 2,
        Outcome::Exhausted => 3,
        Outcome::Permanent => 4,
        Outcome::Rejected => 6,
        Outcome::Cancelled => 7,
        _ => 5,
    }
}

/// What [`Durations`] have counted. Its fields are those that the table names.
#[derive(Clone, Debug, Serialize)]
pub struct DurationsSnapshot {
    stages: Vec<StageRow>,
    calls: Vec<CallsRow>,
}

#[derive(Clone, Debug, Serialize)]
struct StageRow {
    group: &'static str,
    stage: &'static str,
    buckets: [u64; BUCKETS],
    sum: f64,
    exemplars: Vec<Option<ExemplarRow>>,
}

#[derive(Clone, Debug, Serialize)]
struct ExemplarRow {
    trace_id: String,
    value: f64,
}

#[derive(Clone, Debug, Serialize)]
struct CallsRow {
    group: &'static str,
    success: u64,
    transient: u64,
    throttled: u64,
    exhausted: u64,
    permanent: u64,
    unknown: u64,
    rejected: u64,
    cancelled: u64,
}

impl MetricSource for Durations {
    type Snapshot = DurationsSnapshot;
    const KIND: &'static str = "durations";

    fn read(&self) -> DurationsSnapshot {
        let groups = || self.shared.groups.iter().zip(&self.shared.of_groups);
        let stages = groups().flat_map(|(group, of_group)| {
            let row = move |(stage, histogram): (&&'static str, &Histogram)| StageRow {
                group,
                stage,
                buckets: histogram.buckets.each_ref().map(|count| count.load(Ordering::Relaxed)),
                sum: histogram.nanos.load(Ordering::Relaxed) as f64 / 1e9,
                exemplars: histogram.exemplars(),
            };
            STAGES.iter().zip(&of_group.stages).map(row)
        });
        let calls =
            groups().map(|(group, of_group)| {
                let counts =
                    of_group.outcomes.each_ref().map(|count| count.load(Ordering::Relaxed));
                let [
                    success,
                    transient,
                    throttled,
                    exhausted,
                    permanent,
                    unknown,
                    rejected,
                    cancelled,
                ] = counts;
                CallsRow {
                    group,
                    success,
                    transient,
                    throttled,
                    exhausted,
                    permanent,
                    unknown,
                    rejected,
                    cancelled,
                }
            });
        DurationsSnapshot { stages: stages.collect(), calls: calls.collect() }
    }
}
