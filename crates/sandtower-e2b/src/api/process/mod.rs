//! Processes in a sandbox, over envd's `process.Process`.

mod event;
mod messages;
mod selector;
mod stream;

pub use event::{Exit, ProcessEvent};
pub use selector::{ProcessInfo, Selector};

pub(crate) use messages::{Signal, close_stdin, connect, send_input, send_signal, start};
pub(crate) use selector::Processes;
pub(crate) use stream::{Broken, ProcessStream, Step};
