//! The one clock of sandtower: tokio's time, with one origin for the whole process.
//!
//! Gates that wait together must agree what an instant means, so there is nothing to choose here:
//! [`TokioClock`] has no state, and any two of them agree. Under a paused tokio clock it stands
//! still, and hours pass in a test when the test says so.

mod clock;
mod sleep;

pub use clock::TokioClock;
pub use sleep::Sleep;
