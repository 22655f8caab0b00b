//! A load generator for any tower service, and the report of what it saw.
//!
//! [`drive`] puts a [`Load`] on any async function, or on a [`tower_service::Service`] by way of
//! [`calls`]: in a closed loop, where each of so many users waits for its answer, or in an open one,
//! where calls come at a rate whatever becomes of them. The clock is tokio's: in a current-thread
//! runtime with a paused clock, hours take seconds.
//!
//! What it tells is honest in three ways in which generators often are not:
//!
//! - a latency counts from when the call was *meant* to start, so that a generator that falls behind
//!   cannot hide a slow service;
//! - arrivals that were started late, or never since too many were in flight, are counted;
//! - percentiles come from a histogram of every call, never from percentiles of parts.
//!
//! From the calls, pure functions make [`Figures`], [`medians`] over seeds, the [`worst`] seed, a
//! [`series`] over time and the [`recovery`] from a fault; an [`Slo`] says whether they are good
//! enough; a [`Timeline`] notes where the time of each call went. All of it together is a [`Report`].

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
mod timeline;

pub use data::{Figures, Part, PolicyReport, Query, Report, Row, SeedFigures, SlowCall, Spent};
pub use generate::{Arrival, Driven, Ended, drive};
pub use load::{Arrivals, InvalidLoad, Load, Until};
pub use report::Written;
pub use series::{Sample, series};
pub use service::{Answer, calls};
pub use slo::{InvalidSlo, Missed, Slo};
pub use statistics::{Call, Ending, medians, ms, recovery, worst};
pub use timeline::{Timeline, spend};
