//! Whether a service that was overloaded once gets well again: the real layers, in virtual time,
//! before a service whose capacity drops, fails or is asked for too much.

mod run;
mod server;
mod stack;

pub use self::run::{Result, Scenario, run};
pub use self::stack::Without;
