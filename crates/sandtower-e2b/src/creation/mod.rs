//! Safe creation: a lost answer to a create becomes neither a leak nor a double.
//!
//! To make a sandbox cannot be replayed: an attempt whose answer is lost may have made one that
//! runs, and is paid for, for its whole lifetime, and the next attempt makes a second. So
//!
//! 1. each creation of the client carries in its metadata the id of its call, the number of the
//!    attempt and an owner ([`Creation`], `marks.rs`);
//! 2. [`SafeCreate`], right below retry, numbers each attempt, and hands it to the account
//!    ([`Creations`]) when it ends without a known result, or when its future is dropped after it was
//!    sent;
//! 3. [`E2bReconcile`], the hook of a retry, looks for what was made before another attempt is made,
//!    and adopts it;
//! 4. what nobody adopts is killed in the background (`book.rs` decides, `reaper.rs` does), and so is
//!    what a layer or a caller drops on its way up (`claim.rs`).
//!
//! ```
//! use sandtower_e2b::{Config, Creations, E2bClassify, E2bReconcile, SafeCreateLayer};
//! use sandtower_http::Http;
//! use sandtower_retry::RetryLayer;
//!
//! let config = Config::new("e2b_0123")?;
//! let creations = Creations::new(&config);
//! let retry = RetryLayer::recommended()
//!     .classify(E2bClassify)
//!     .resend(Http)
//!     .reconcile(E2bReconcile::new(creations.clone()));
//! // retry above, this right below it, the waiting room and the interpreter further down.
//! let safe_create = SafeCreateLayer::new(creations.clone());
//! # let _ = (retry, safe_create);
//! # Ok::<(), sandtower_e2b::ConfigError>(())
//! ```

mod asked_for;
mod below;
mod book;
mod claim;
mod creations;
mod future;
mod layer;
mod look;
mod marks;
mod reaper;
mod sent;
mod snapshot;
mod timing;

pub use asked_for::Creation;
pub use creations::Creations;
pub use future::Creating;
pub use layer::{SafeCreate, SafeCreateLayer};
pub use look::E2bReconcile;
pub use marks::{ATTEMPT_KEY, CALL_KEY, Marks, NotAnOwner, OWNER_KEY, Owner};
pub use snapshot::{CreationsSnapshot, GivenUp, Unsettled};
pub use timing::{Timing, TimingError};

pub(crate) use below::Spare;
pub(crate) use claim::Claim;
pub(crate) use creations::Reaping;
pub(crate) use sent::Sent;
