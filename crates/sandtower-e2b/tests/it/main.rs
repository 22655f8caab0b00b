//! The integration tests of the crate, as one binary.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

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
