//! A tower layer that tracks calls by operation over a sliding window, and can hold them to a rate.
//!
//! A [`RateLimit`] is a cheap handle and a [gate](sandtower_core::Gate) in one. It counts every
//! attempt by operation over the last hour (or any [window](Config::window)), warns before a
//! [limit](Config::limit) is used up, keeps a known [pace](Config::pace) such as one creation a
//! second, and stays away for as long as a server that throttles asks. What it does about an
//! attempt that is too much is its [`Mode`]: nothing, unless it is told to enforce.
//!
//! Put it before a service with a [`RateLimitLayer`], which refuses what is too much, or hand it to
//! a waiting room as one of its gates, which makes callers wait for their turn instead. Never both:
//! an attempt would count twice.
//!
//! ```
//! use std::time::Duration;
//! use sandtower_core::Operation;
//! use sandtower_rate_limit::{Config, Mode, Pace, RateLimit, RateLimitLayer};
//!
//! const CREATE: Operation = Operation::new(1, "sandbox_create");
//!
//! let limit = RateLimit::new(
//!     Config::new("E2B")
//!         .mode(Mode::Enforce)
//!         .limit(CREATE, 100)
//!         .pace(CREATE, Pace::every(Duration::from_secs(1))),
//! )?;
//! let layer = RateLimitLayer::new(limit.clone());
//! # let _ = layer;
//!
//! let status = limit.status(CREATE);
//! assert_eq!((status.count, status.remaining, status.exceeded), (0, Some(100), false));
//! # Ok::<(), sandtower_rate_limit::ConfigError>(())
//! ```
//!
//! The arithmetic is in two pure engines that know nothing of services: [`Window`] counts, [`Gcra`]
//! paces.

mod alarm;
mod config;
mod gcra;
mod hold;
mod lane;
mod layer;
mod status;
mod tracker;
mod window;

pub use config::{Config, ConfigError, Mode};
pub use gcra::{Charge, Gcra, Pace};
pub use lane::Token;
pub use layer::{RateLimitLayer, RateLimited};
pub use status::{OperationStats, Stats, Status};
pub use tracker::RateLimit;
pub use window::{Recorded, Window};
