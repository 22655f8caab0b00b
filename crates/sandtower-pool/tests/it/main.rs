//! The pool over a simulated E2B, in virtual time.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

mod bad_input;
mod hand_out;
mod reuse;
mod world;
