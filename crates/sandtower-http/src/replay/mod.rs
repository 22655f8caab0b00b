//! Bodies that can be sent a second time.

mod body;
mod layer;
mod shared;
mod wakers;

pub use body::{NotReplayable, ReplayBody};
pub use layer::{ReplayLayer, Replayable, Replayed};
