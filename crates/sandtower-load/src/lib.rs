//! A load generator for any tower service, and the report of its results.
//!
//! [`drive`] puts a [`Load`] on any async function, or on a [`tower_service::Service`] through [`calls`]: in
//! a closed loop, where each user waits for its response, or in an open one, where calls arrive at a rate
//! whatever happens to them. The clock is tokio's: in a current-thread runtime with a paused clock, hours
//! take seconds.
//!
//! Its measurements avoid three common errors of load generators:
//!
//! - a latency counts from when the call was *meant* to start, so that a generator that falls behind cannot
//!   hide a slow service;
//! - arrivals that started late, or not at all because too many were in flight, are counted;
//! - percentiles come from a histogram of all calls, never from percentiles of parts.
//!
//! From the calls, pure functions compute [`Figures`], [`medians`] over seeds, the [`worst`] seed, a
//! [`series`] over time and the [`recovery`] from a fault; an [`Slo`] checks them; a [`Timeline`] records
//! where the time of each call went. Together they are a [`Report`].

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod data;
mod generate;
mod load;
mod report;
mod series;
mod service;
mod slo;
mod statistics;
mod tenants;
mod timeline;

pub use data::{
    Figures, Part, PolicyReport, Query, Report, Row, SeedFigures, SlowCall, Spent, Tenants,
};
pub use generate::{Arrival, Driven, Ended, drive};
pub use load::{Arrivals, InvalidLoad, Load, Until};
pub use report::Written;
pub use series::{Sample, series};
pub use service::{CallFuture, calls};
pub use slo::{InvalidSlo, Missed, Slo};
pub use statistics::{Call, Ending, medians, ms, recovery, worst};
pub use tenants::TenantCall;
pub use timeline::{Timeline, spend};
