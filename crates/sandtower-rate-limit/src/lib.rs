//! A tower layer that counts calls by operation over a sliding window, holds them to limits and to a
//! pace, and obeys the server's own rate limit.
//!
//! The shortest way is a [`RateLimitLayer::per_second`]. With limits by operation, configure a
//! [`RateLimit`]: a cheap handle and an admission policy (a [gate](sandtower_core::Gate)) in one.
//!
//! | to | use |
//! |---|---|
//! | reject what is too much | a [`RateLimitLayer`] |
//! | make callers wait | admission control, with the [`RateLimit`] as one of its gates |
//! | count and warn only | [shadow mode](Config::shadow) |
//! | limit each tenant | [`RateLimits`] |
//! | count across restarts, or with other processes | `RateLimit::durable` (feature `sqlite`), or your own [`Store`] |
//!
//! Never enforce one limit twice: an attempt would be counted twice.
//!
//! ```
//! use std::time::Duration;
//! use sandtower_core::{BoxError, Operation, Rejection, RequestInfo, Verdict, classify_fn, find};
//! use sandtower_rate_limit::{Config, Pace, RateLimit, RateLimitLayer};
//! use tower::{Layer, Service, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//! const CREATE: Operation = Operation::new(1, "sandbox_create");
//!
//! let limit = RateLimit::new(
//!     Config::new("E2B")
//!         .limit(CREATE, 100) // within an hour
//!         .pace(CREATE, Pace::every(Duration::from_secs(1))),
//! )?;
//! let classify = classify_fn(
//!     |_: &&str| RequestInfo::new(CREATE),
//!     |_: Result<&usize, &BoxError>| Verdict::success(),
//! );
//! let mut service = RateLimitLayer::new(limit.clone(), classify)
//!     .layer(service_fn(async |name: &str| Ok::<_, BoxError>(name.len())));
//!
//! service.ready().await?.call("a sandbox").await?;
//! let error = service.ready().await?.call("another").await.unwrap_err();
//! assert!(find::<Rejection>(&*error).is_some(), "one a second");
//!
//! let status = limit.status(CREATE);
//! assert_eq!((status.count, status.remaining, status.exceeded), (1, Some(99), false));
//! # Ok(()) }
//! ```
//!
//! The arithmetic is in pure engines that know nothing of services: [`Window`] counts, [`Gcra`]
//! keeps a pace.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod alarm;
mod by_tenant;
mod config;
mod estimate;
mod gcra;
mod layer;
mod metrics;
mod operations;
mod per_operation;
mod rate_limit;
mod rate_limits;
mod saving;
mod scopes;
mod shared;
mod status;
mod store;
mod tenant_table;
mod window;

pub use by_tenant::ByTenant;
pub use config::{Config, ConfigError};
pub use estimate::ServerLimit;
pub use gcra::{Charge, Gcra, Pace};
pub use layer::{RateLimitLayer, RateLimited};
pub use per_operation::Permit;
pub use rate_limit::RateLimit;
pub use rate_limits::{RateLimits, TenantPermit, TenantSnapshot};
pub use status::{OperationSnapshot, Snapshot, Status};
#[cfg(feature = "sqlite")]
pub use store::SqliteStore;
pub use store::{Entry, Store, StoreError};
pub use window::{Recorded, Window};
