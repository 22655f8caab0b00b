//! The size of an exposition with all that a stack can have.

use sandtower::core::{CallEnd, ObserveCalls, RequestInfo, Tick, TraceParent, recording};
use sandtower::e2b::operation;
use sandtower_telemetry::{Durations, Format, Registry};

use crate::exposition::{series, stack};

#[tokio::test(start_paused = true)]
async fn a_stack_has_less_than_1500_series_and_500_kib() {
    let registry = Registry::new();
    let stack = stack();
    let durations = Durations::new(operation::GROUPS, operation::group);
    for operation in operation::ALL {
        stack.handles().admission.set_concurrency(*operation, 3).unwrap();
        stack.handles().rate_limit.set_limit(*operation, Some(10)).unwrap();
        let info = RequestInfo::new(*operation);
        let mut call = recording::Recording::begin(Tick::now());
        let ended = recording::Ended::new(sandtower::core::Outcome::Success);
        let explanation = call.end(ended, None, Tick::now()).unwrap();
        let trace = TraceParent::new(u128::MAX, 1, true);
        durations.call_ended(&CallEnd::new(&info, &explanation).trace(trace));
    }
    registry.add("e2b", stack.handles().clone()).unwrap();
    registry.add("e2b", durations).unwrap();
    let text = registry.encode(Format::OpenMetrics);
    let count = series(&text).len();
    println!("{count} series, {} KiB", text.len() / 1024);
    assert!(count > 1_000 && count < 1_500, "{count} series");
    assert!(text.len() < 500 * 1024, "{} bytes", text.len());
}
