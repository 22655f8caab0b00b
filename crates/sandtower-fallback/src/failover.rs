//! Failover between equivalent services.

mod config;
mod future;
mod handle;
mod memory;
mod service;

pub use config::{FailoverConfig, FailoverConfigError};
pub use future::FailoverFuture;
pub use handle::{FailoverHandle, FailoverSnapshot, PlaceSnapshot};
pub use service::Failover;
