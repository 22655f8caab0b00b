//! A load generator for any tower service, and the report of what it saw.

mod data;

pub use data::{Figures, Part, PolicyReport, Query, Report, Row, SeedFigures, SlowCall, Spent};
