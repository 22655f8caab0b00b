//! Safe creation: a lost answer to a create becomes neither a leak nor a double.

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
