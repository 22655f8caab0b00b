//! Code that a sandbox's code interpreter runs.

mod context;
mod executing;
mod execution;
mod line;
mod source;

pub use context::Context;
pub use executing::Executing;
pub use execution::{CodeEvent, CodeResult, Exception, Execution};
pub use source::Code;
