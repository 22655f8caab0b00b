//! E2B for the layers of sandtower, and a typed client.
//!
//! The crate has four parts; each uses those before it:
//!
//! - the protocol, without a runtime: [`operation`] names the operations, [`recognise`] finds the one of a
//!   request, [`Timeouts`] limits each, [`E2bClassify`] is the classifier for layers, [`E2bInterpret`]
//!   parses E2B's errors (so that all layers above can distinguish "too many requests" from "all sandboxes
//!   of the plan in use", both 429; [`verdict_of_response`] has the table, [`strings`] the messages), and
//!   [`envelope`] is the framing of envd's streams;
//! - how requests are sent: over any tower service of HTTP requests, such as `HttpTransport` (feature `transport`:
//!   HTTP/1.1 and 2 over rustls);
//! - creation tracking: with [`Tracking`], [`E2bReconcile`] and a [`SandboxTracker`] a lost response
//!   leaves neither an orphaned nor a duplicate sandbox; [`SandboxCheck`] kills new sandboxes that are
//!   dead; [`Events`] reports and counts creations;
//! - the [`Client`], which creates sandboxes, runs commands and code in them, reads and writes their
//!   files, and kills them; each of its [errors](Error) has a [`Hint`] on whether to make the call again.
//!
//! # Secrets
//!
//! Keys, tokens, the values of environment variables, commands and code appear in no `Debug`, no error
//! and no event, even where the service quotes them in its response. Nor does `Debug` show the output of
//! commands and code. Metadata and file names are not treated as secrets.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(doctest, feature = "transport"))]
#[doc = include_str!("../README.md")]
mod readme {}

mod api;
mod client;
mod tracking;
mod transport;

pub use api::{envelope, operation, strings};

pub use api::call_id::{CallId, NotACallId};
pub use api::classify::E2bClassify;
pub use api::code::{Code, CodeEvent, CodeResult, Context, Exception, Execution};
pub use api::command::{Command, Output};
pub use api::config::{Config, ConfigError};
pub use api::error::{Call, Error, ErrorResponse, Hint};
pub use api::error_body::ErrorBody;
pub use api::files::{FileInfo, FileKind, RemotePath};
pub use api::info::{SandboxInfo, State};
pub use api::interpret::E2bInterpret;
pub use api::list::{ListSandboxes, Page};
pub use api::marks::{ATTEMPT_KEY, CALL_KEY, Marks, NotAnOwner, OWNER_KEY, Owner, POOL_KEY};
pub use api::new_sandbox::NewSandbox;
pub use api::process::{Exit, ProcessEvent, ProcessInfo, Selector};
pub use api::route::{ENVD_PORT, INTERPRETER_PORT, SANDBOX_ID, SANDBOX_PORT, recognise};
pub use api::sandbox::{NotAnId, Sandbox, SandboxId};
pub use api::secret::Secret;
pub use api::timeouts::Timeouts;
pub use api::verdict::verdict_of_response;
pub use client::{
    Client, DefaultTemplate, Executing, KillOnDrop, Pages, Running, TemplateNotFound,
};
pub use tracking::{
    Abandoned, Creation, E2bReconcile, EVENTS, Events, EventsSnapshot, OrphansLeft, Probe,
    RawCreation, SandboxCheck, SandboxTracker, Timing, TimingError, TrackerSnapshot, Tracking,
    TrackingFuture, TrackingLayer, Unclaimed,
};
pub use transport::body::Silent;
#[cfg(feature = "transport")]
pub use transport::http::{
    ConnectTimedOut, HttpTransport, HttpTransportBuilder, TransportBody, TransportError,
    TransportFuture,
};
pub use transport::progress::Progress;
