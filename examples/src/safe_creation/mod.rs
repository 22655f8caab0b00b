//! Creations in bad weather: whose answers are lost, whose callers go, whose listing lags.
//!
//! The simulator knows what really happened, and is asked at the end: is anything alive that nobody
//! holds?

mod storm;
mod weather;

pub use storm::{Report, Storm};
