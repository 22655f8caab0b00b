use crate::{Explanation, Outcome, RequestInfo, TraceParent};

/// Is called once for each call that has ended: to keep histograms, to write a log of accesses.
///
/// It runs where the call is polled, so it takes no lock for long, and does not block. What panics in it
/// panics in the call.
///
/// ```
/// use sandtower_core::{CallEnd, ObserveCalls, StageKind};
///
/// struct Printer;
///
/// impl ObserveCalls for Printer {
///     fn call_ended(&self, call: &CallEnd<'_>) {
///         let queued = call.explanation.time_in(StageKind::Queue);
///         println!("{} {} queued {queued:?}", call.info.operation, call.explanation.outcome());
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not observe calls",
    label = "not an `ObserveCalls`"
)]
pub trait ObserveCalls: Send + Sync + 'static {
    /// `call` has ended, or its caller dropped it.
    fn call_ended(&self, call: &CallEnd<'_>);
}

/// A call that has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallEnd<'a> {
    /// Which operation it was, for which tenant.
    pub info: &'a RequestInfo,
    /// How it ended, how long it took, and its stages.
    pub explanation: &'a Explanation,
    /// The trace that it belongs to, if that is known: for exemplars.
    pub trace: Option<TraceParent>,
}

impl<'a> CallEnd<'a> {
    /// The end of a call that belongs to no trace.
    pub fn new(info: &'a RequestInfo, explanation: &'a Explanation) -> Self {
        Self { info, explanation, trace: None }
    }

    /// Sets the trace that it belongs to.
    #[must_use]
    pub fn trace(self, trace: Option<TraceParent>) -> Self {
        Self { trace, ..self }
    }

    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        self.explanation.outcome()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tick, recording};

    #[test]
    fn a_call_belongs_to_a_trace_once_that_is_set() {
        let info = RequestInfo::default();
        let mut call = recording::Recording::begin(Tick::ZERO);
        let ended = recording::Ended::new(Outcome::Success);
        let explanation = call.end(ended, None, Tick::ZERO).unwrap();
        let trace = TraceParent::new(1, 1, true);
        let end = CallEnd::new(&info, &explanation);
        assert!(trace.is_some() && end.trace.is_none());
        assert_eq!(end.trace(trace).trace, trace);
    }
}
