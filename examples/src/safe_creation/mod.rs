//! SandboxTracker in bad weather: whose answers are lost, whose callers go, whose listing lags.
//!
//! The simulator knows what really happened, and is asked at the end: is anything alive that nobody
//! holds?

mod random_500s;
mod storm;
mod weather;

pub use random_500s::Random500s;
pub use storm::{Report, Storm};
