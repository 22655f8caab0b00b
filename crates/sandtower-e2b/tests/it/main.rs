//! One binary for all tests of the crate from outside.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

mod bodies;
mod client;
mod deadlines;
mod default_template;
mod requests;
mod responses;
mod silence;
mod streams;
mod support;
mod tracking;
#[cfg(feature = "transport")]
mod transport;
