//! Safe creation: whatever becomes of an attempt, of its answer and of its caller, nothing is left
//! behind.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

mod fake;
mod left_behind;
mod look;
mod reaper;
