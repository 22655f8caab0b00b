//! Creations with faults: lost responses, callers that go away, a listing that lags.
//!
//! The simulator knows what really happened, and is checked at the end: is any sandbox without an owner
//! alive?

mod faults;
mod random_500s;
mod storm;

pub use random_500s::Random500s;
pub use storm::{Report, Storm};
