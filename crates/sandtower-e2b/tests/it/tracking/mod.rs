//! Safe creation: whatever becomes of an attempt, of its answer and of its caller, nothing is left
//! behind.

mod cleanup;
mod drain;
mod fake;
mod left_behind;
mod panics;
mod raw;
mod reconcile;
mod storm;
