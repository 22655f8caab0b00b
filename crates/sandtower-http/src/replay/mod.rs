//! Bodies that can be sent again.

mod body;
mod layer;
mod shared;
mod wakers;

pub use body::{NotReplayable, ReplayBody};
pub use layer::{ReplayLayer, Replayable, Replayed};
