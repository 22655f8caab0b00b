//! Code that a sandbox's code interpreter runs.

mod context;
mod execution;
mod line;
mod source;
mod stream;

pub use context::Context;
pub use execution::{CodeEvent, CodeResult, Exception, Execution};
pub use source::Code;

pub(crate) use line::TooLong;
pub(crate) use stream::{CodeStep, CodeStream};
