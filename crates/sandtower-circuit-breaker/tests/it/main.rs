//! The breaker behind its layer and as a gate, on a paused clock.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test reports by panicking")]
#![expect(clippy::result_large_err, reason = "what a gate returns")]

mod allocations;
mod contract;
mod durations;
mod events;
mod evidence;
mod gate;
mod handle;
mod layer;
mod recommended;
mod scoped;
mod shadow;
mod shell;
mod spawned;
mod support;
mod transitions;
mod waiting;
