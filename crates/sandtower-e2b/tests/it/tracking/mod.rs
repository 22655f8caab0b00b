//! Safe creation: whatever happens to an attempt, its response and its caller, no sandbox is orphaned.

mod cleanup;
mod drain;
mod fake;
mod left_behind;
mod panics;
mod raw;
mod reconcile;
mod storm;
