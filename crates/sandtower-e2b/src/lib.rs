//! What E2B means to the layers of sandtower, and a typed client.
//!
//! - [`operation`] names what can be asked of E2B, and [`recognise`] tells it from a request;
//! - [`Timeouts`] is how long each may take;
//! - [`E2bClassify`] is the classifier for layers;
//! - [`E2bInterpret`] reads what E2B's errors say, so that "too many a second" and "all slots are
//!   taken", both 429, are told apart by all layers above; [`verdict_of_answer`] is its table,
//!   [`strings`] the words it goes by;
//! - [`Client`] makes sandboxes, runs commands and code in them, reads and writes their files, and
//!   ends them, over any HTTP service; each of its [errors](Error) has a [`Hint`] on whether to make
//!   the call again;
//! - [`Events`] tell what becomes of creations, and count it;
//! - `HttpTransport` is such a service, with feature `transport`: HTTP/1.1 and 2 over rustls;
//! - [`SafeCreate`], [`E2bReconcile`] and [`Creations`] see to it that a lost answer leaves no
//!   sandbox behind, nor makes two; after a crash, [`Client::sweep`] does;
//! - [`SandboxCheck`] finds out whether a new sandbox is alive, and kills it if not;
//! - [`envelope`] is the framing of envd's streams.
//!
//! # Secrets
//!
//! Keys, tokens, the values of environment variables, commands and code are in no `Debug`, no error
//! and no event, also where the service repeats them in its answer. Nor does a `Debug` show what
//! commands and code print. Metadata and the names of files are no secrets.

mod body;
mod call_id;
mod check;
mod classify;
mod client;
mod code;
mod command;
mod config;
mod creation;
mod default_template;
pub mod envelope;
mod error;
mod events;
mod files;
mod hidden;
mod info;
mod interpret;
mod list;
mod meaning;
mod new_sandbox;
pub mod operation;
mod process;
mod request;
mod route;
mod said;
mod sandbox;
mod secret;
mod stream_end;
pub mod strings;
mod timeouts;
#[cfg(feature = "transport")]
mod transport;
mod within;

pub use body::Silent;
pub use call_id::{CallId, NotACallId};
pub use check::{Probe, SandboxCheck};
pub use classify::E2bClassify;
pub use client::{Client, KillOnDrop, Pages};
pub use code::{Code, CodeEvent, CodeResult, Context, Exception, Executing, Execution};
pub use command::{Command, Output};
pub use config::{Config, ConfigError};
pub use creation::{
    ATTEMPT_KEY, CALL_KEY, Creating, Creation, Creations, CreationsSnapshot, E2bReconcile, GivenUp,
    Marks, NotAnOwner, OWNER_KEY, Owner, SafeCreate, SafeCreateLayer, Timing, TimingError,
    Unsettled,
};
pub use default_template::{DefaultTemplate, TemplateNotFound};
pub use error::{Answer, Call, Error, Hint};
pub use events::{EVENTS, EventCounts, Events};
pub use files::{FileInfo, FileKind, RemotePath};
pub use info::{SandboxInfo, State};
pub use interpret::E2bInterpret;
pub use list::{ListSandboxes, Page};
pub use meaning::verdict_of_answer;
pub use new_sandbox::NewSandbox;
pub use process::{Exit, ProcessEvent, ProcessInfo, Running, Selector};
pub use route::{ENVD_PORT, INTERPRETER_PORT, SANDBOX_ID, SANDBOX_PORT, recognise};
pub use said::Said;
pub use sandbox::{NotAnId, Sandbox, SandboxId};
pub use secret::Secret;
pub use timeouts::Timeouts;
#[cfg(feature = "transport")]
pub use transport::{
    ConnectTimedOut, HttpTransport, HttpTransportBuilder, TransportBody, TransportError,
    TransportFuture,
};
