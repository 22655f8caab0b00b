//! The pool over a simulated E2B, in virtual time.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers fail a test by panicking")]

mod agreement;
mod bad_input;
mod contract;
mod hand_out;
mod recipient;
mod reuse;
mod store;
mod world;
