//! Metrics, alerts and history of sandtower's layers.
//!
//! ```
//! use sandtower::e2b::{Config, operation};
//! use sandtower::stack::Stack;
//! use sandtower_telemetry::{Durations, Format, Registry, Watch};
//!
//! # fn example() -> Result<(), sandtower::core::BoxError> {
//! # let stack = Stack::builder(Config::new("e2b_0123")?).build()?;
//! let registry = Registry::new();
//! registry.add("e2b", stack.handles().clone())?;
//!
//! // Respond to `GET /metrics` with `registry.scrape(request.headers())`.
//! let text = registry.encode(Format::OpenMetrics);
//! assert!(text.contains(r#"sandtower_creations_failed_total{source="e2b"} 0"#));
//! # Ok(())
//! # }
//! # example().unwrap();
//! ```
//!
//! One layer alone takes two lines:
//!
//! ```
//! use sandtower::circuit_breaker::CircuitBreaker;
//! use sandtower_telemetry::Registry;
//!
//! # fn example() -> Result<(), sandtower_telemetry::AddError> {
//! # let breaker = CircuitBreaker::recommended("search");
//! let registry = Registry::new();
//! registry.add("search", breaker)?;
//! # Ok(())
//! # }
//! ```
//!
//! | part | what it is |
//! |---|---|
//! | [`Registry`] | the layers and stacks whose metrics are exported, read at each scrape |
//! | [`TABLE`] | every metric, once: its name, and the field of the snapshot that it comes from |
//! | [`Durations`] | histograms of calls and their stages |
//! | [`RULES`], [`alert_rules`], [`grafana_board`] | alerts; as a file for Prometheus; a board for Grafana |
//! | [`Watch`] | alerts without Prometheus, and the last hour for a page |
//! | [`Webhook`] | where alerts are sent |
//!
//! Nothing of it is on the path of a call, but for `Durations`, if a stack is given them. The
//! [document](https://github.com/sandtower/sandtower/blob/main/docs/telemetry.md) lists the metrics and the
//! alerts.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod alerts;
mod board;
mod durations;
mod exposition;
mod history;
mod metric;
mod reading;
mod registry;
mod rules;
mod table;
mod timestamp;
mod watch;
mod webhook;

pub use alerts::Alert;
pub use board::grafana_board;
pub use durations::{BOUNDS, Durations, DurationsSnapshot};
pub use exposition::Format;
pub use history::{History, HistoryLine};
pub use metric::{Absent, Each, Kind, Metric, Origin};
pub use registry::{AddError, Registry};
pub use rules::{Condition, RULES, Rule, Severity, alert_rules};
pub use table::{TABLE, metric, metric_of_series};
pub use watch::Watch;
pub use webhook::Webhook;
