//! Tests of the testkit itself.

mod allocations;
mod cancel;
mod mock;
mod planted;
mod sound;
