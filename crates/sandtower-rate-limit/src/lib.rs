//! A tower layer that tracks calls by operation over a sliding window, and can hold them to a rate.
//!
//! A [`RateLimit`] is a cheap handle and a [gate](sandtower_core::Gate) in one. It counts every
//! attempt by operation over the last hour (or any [window](Config::window)), warns before a
//! [limit](Config::limit) is used up, keeps a known [pace](Config::pace) such as one creation a
//! second, and stays away for as long as a server that throttles asks. What it does about an
//! attempt that is too much is its [`Mode`]: nothing, unless it is told to enforce.
//!
//! Put it before a service with a [`RateLimitLayer`], which rejects what is too much, or with a
//! [`PaceLayer`], in which callers wait for the instant at which they are predicted to pass; or hand
//! it to a waiting room as one of its gates. Never two of them: an attempt would count twice.
//!
//! What it knows of a server's limit are the [known](Pace) paces and what it [learns](Shadow) from
//! answers: both hold together. What it counted and learned can outlive the process
//! ([`RateLimit::durable`]), or be shared by several through a [`Store`].
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
//! The arithmetic is in three pure engines that know nothing of services: [`Window`] counts, [`Gcra`]
//! paces, [`Shadow`] follows a server.

mod alarm;
mod config;
mod frame;
mod gcra;
mod interval;
mod lane;
mod layer;
mod paced;
mod saving;
mod scopes;
mod shadow;
mod share;
mod status;
mod store;
mod tracker;
mod window;

pub use config::{Config, ConfigError, Mode};
pub use gcra::{Charge, Gcra, Pace};
pub use lane::Token;
pub use layer::{RateLimitLayer, RateLimited};
pub use paced::{LineStats, PaceFuture, PaceLayer, Paced, Pacer};
pub use shadow::{Learned, Shadow};
pub use status::{OperationStats, Stats, Status};
pub use store::{Entry, FileStore, Store, StoreError};
pub use tracker::RateLimit;
pub use window::{Recorded, Window};
