//! The contract probe: tests that a layer keeps the tower contract.
//!
//! - [`Contract`] runs the whole probe against a layer, in three lines;
//! - [`Mock`] is the inner service for a layer's own tests: scripted, counted, and strict about how it is
//!   called;
//! - [`cancel_at_every_poll`] drops a future at each point where it can be dropped;
//! - [`allocations`] counts allocations, for tests that assert that there are none.
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
mod inputs;
mod mock;
mod rule;

pub use crate::{
    allocations::{CountingAllocator, allocations},
    cancel::{Cancelled, cancel_at_every_poll},
    contract::{Contract, Exchange, Scenario},
    inputs::{Fused, FusedFuture, extreme_durations},
    mock::{Counts, Handle, Instance, Mock, Readiness, Reply, ResponseFuture},
    rule::{Rule, Violation},
};

/// The former name of [`Reply`].
#[doc(hidden)]
pub use crate::mock::Reply as Answer;

/// The error type of layers.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
