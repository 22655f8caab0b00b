//! Whether a service recovers from an overload: the real layers, in virtual time, in front of a service
//! whose capacity drops, that fails, or that gets too many calls.

mod run;
mod server;
mod stack;

pub use self::run::{Result, Scenario, run};
pub use self::stack::Without;
