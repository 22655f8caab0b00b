//! Code for the code interpreter of a sandbox.

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
