//! The simulator, in process and behind a socket.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

mod common;
mod control;
mod envd;
mod facts;
mod fault;
mod fuzz;
mod idempotency;
mod inside;
mod modules;
mod recorded;
mod rules;
mod socket;
mod stress;
mod truth;
mod watch;
