//! Creation tracking: a lost response to a creation leaves neither an orphaned nor a second sandbox.
//!
//! A creation cannot be replayed: an attempt whose response is lost may have created a sandbox that
//! runs, and is paid for, until the end of its lifetime, and the next attempt creates a second one. So:
//!
//! 1. each creation of the client carries in its metadata the id of its call, the number of the
//!    attempt and an owner ([`Creation`], `api/marks.rs`);
//! 2. [`Tracking`], right below retry, numbers each attempt, and hands it to the tracker
//!    ([`SandboxTracker`]) when it ends without a known result, or when its future is dropped after it was
//!    sent;
//! 3. [`E2bReconcile`], the hook of a retry, looks for the sandbox of an attempt before the next one is
//!    sent, and adopts it;
//! 4. a sandbox that is not adopted is killed in the background (`ledger.rs` decides, `cleanup.rs` acts),
//!    and so is one that a layer or a caller drops on the way up (`unclaimed.rs`).
//!
//! Its own requests are built by `api` and sent through the service below (`requests.rs`).
//!
//! ```
//! use sandtower_e2b::{Config, SandboxTracker, E2bClassify, E2bReconcile, TrackingLayer};
//! use sandtower_http::Http;
//! use sandtower_retry::{Config as RetryConfig, RetryLayer};
//!
//! let config = Config::new("e2b_0123")?;
//! let tracker = SandboxTracker::new(&config);
//! let retry = RetryLayer::new(RetryConfig::recommended(), E2bClassify)
//!     .resend(Http)
//!     .reconcile(E2bReconcile::new(tracker.clone()));
//! // retry above, this right below it, admission control and the interpreter further down.
//! let tracking = TrackingLayer::new(tracker.clone());
//! # let _ = (retry, tracking);
//! # Ok::<(), sandtower_e2b::ConfigError>(())
//! ```

mod check;
mod cleanup;
mod creation;
pub(crate) mod events;
mod future;
mod layer;
mod ledger;
mod metrics;
mod origin;
mod raw;
mod reconcile;
mod requests;
mod snapshot;
mod timing;
mod tracker;
mod unclaimed;

pub use check::{Probe, SandboxCheck};
pub use creation::Creation;
pub use events::{EVENTS, Events, EventsSnapshot};
pub use future::TrackingFuture;
pub use layer::{Tracking, TrackingLayer};
pub use raw::RawCreation;
pub use reconcile::E2bReconcile;
pub use snapshot::{Abandoned, OrphansLeft, TrackerSnapshot};
pub use timing::{Timing, TimingError};
pub use tracker::SandboxTracker;
pub use unclaimed::Unclaimed;

pub(crate) use requests::Requests;
pub(crate) use tracker::CleanUp;
