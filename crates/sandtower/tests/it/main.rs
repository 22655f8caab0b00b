//! The recommended stack, its settings and its messages.

#![cfg_attr(
    feature = "axum",
    expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")
)]

#[cfg(feature = "e2b")]
mod allocations;
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "e2b")]
mod callers;
#[cfg(feature = "e2b")]
mod config;
#[cfg(feature = "e2b")]
mod config_layers;
mod messages;
#[cfg(feature = "e2b")]
mod spawn;
#[cfg(feature = "e2b")]
mod stack;
#[cfg(feature = "e2b")]
mod streams;
