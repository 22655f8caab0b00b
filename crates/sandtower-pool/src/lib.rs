//! A warm pool of E2B sandboxes: creations are served from stock, in milliseconds, within a budget.
//!
//! A [`PoolLayer`] stands above the layers that send, limit and track creations. A request for a new sandbox
//! whose [`Shape`] matches warm stock is served from it, by one connect and a check that the sandbox is
//! alive; any other is passed on unchanged. How much is kept warm is decided by an [`Engine`](engine::Engine),
//! which is pure: from the rate of requests, recent peaks, a schedule and the same hour of earlier weeks, up
//! to a highest number and a budget in dollars an hour.
//!
//! - A sandbox in stock has a short lifetime of its own. Nothing extends it before it is given to a caller, so that
//!   whatever becomes of this process, stock ends by itself.
//! - A dead sandbox is never returned to a caller, and none is returned twice.
//! - While creations fail, they are tried rarely; while the circuit breaker is not closed, never.
//! - A creation that needs a slot of the plan gets that of a warm sandbox.
//! - A used sandbox is never given to another caller. With [`Config::reuse`] the same [`Session`] of the same
//!   tenant may get it again.
//!
//! ```
//! use sandtower_e2b::{Config as E2bConfig, NewSandbox};
//! use sandtower_pool::{Config, PoolLayer};
//!
//! let e2b = E2bConfig::new("e2b_0123")?;
//! let config = Config::new().max(5).budget(0.5).shape(&NewSandbox::new("base"));
//! let layer = PoolLayer::new(config, &e2b)?;
//! assert_eq!(layer.pool().snapshot().idle, 0);
//! # Ok::<(), sandtower_core::BoxError>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod below;
mod builds;
mod config;
mod demand;
pub mod engine;
mod hooks;
mod items;
mod layer;
mod locked;
mod mark;
mod pool;
mod recipient;
mod reconcile;
mod recorder;
mod refill;
mod reuse;
mod service;
mod shape;
mod stock;
mod succession;
mod target;
mod wall;
mod within;
mod worker;

pub use below::{Below, BelowBody};

pub use config::{Config, ConfigError, OnShutdown, ScheduleRow};
pub use engine::{KindSnapshot, Miss, PoolSnapshot};
pub use hooks::{HookClient, Hooked};
pub use items::SessionOf;
pub use layer::{PoolBuilder, PoolLayer};
pub use mark::is_stock;
pub use pool::Pool;
pub use recipient::{Assigned, Receive, Recipient};
pub use reuse::Session;
pub use service::{Pooled, PooledFuture};
pub use shape::{Shape, Wanted};
pub use stock::{Life, MemoryStock, Step, Stock};
#[cfg(feature = "sqlite")]
pub use stock::{SqliteError, SqliteStock};
pub use target::{Cap, Term};
pub use wall::Wall;
