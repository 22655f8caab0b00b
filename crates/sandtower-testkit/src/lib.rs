//! The contract probe: proves that a layer keeps the tower contract.
//!
//! - [`Contract`] runs the whole probe against a layer, in three lines;
//! - [`Mock`] is the inner service for a layer's own tests: scripted, counted, and strict about
//!   who calls it;
//! - [`cancel_at_every_poll`] drops a future at each point where it can be dropped;
//! - [`allocations`] counts what is allocated, for tests that assert that nothing is.
//!
//! ```
//! use sandtower_testkit::Contract;
//! use tower::limit::ConcurrencyLimit;
//!
//! Contract::of(|inner| ConcurrencyLimit::new(inner, 2)).run();
//! ```
//!
//! It depends on no other crate of the workspace, so that each of them can be tested with it.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod allocations;
mod cancel;
mod contract;
mod drive;
mod mock;
mod rule;

pub use crate::{
    allocations::{CountingAllocator, allocations},
    cancel::{Cancelled, cancel_at_every_poll},
    contract::{Contract, Exchange, Scenario},
    mock::{Answer, Counts, Handle, Instance, Mock, Readiness, ResponseFuture},
    rule::{Rule, Violation},
};

/// The error that is passed between layers.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
