//! The recommended stack, its settings and its messages.

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
