//! An E2B to break on purpose: a simulator as a library and a binary.
//!
//! A [`Sim`] is E2B's control plane and its sandboxes behind one
//! [`tower_service::Service`] of HTTP requests. It needs no sockets; [`serve`] puts it behind one
//! for clients that do. What is slow in it and what fails follows from a [`World`] of constants
//! and from how it is used; what really happened is in its [`Ledger`].
//!
//! # Two ways in
//!
//! As with E2B, a request that names a sandbox and a port goes into that sandbox: by the headers
//! `E2b-Sandbox-Id` and `E2b-Sandbox-Port`, or by a host such as `49983-<id>.<domain>`. Every
//! other request is for the control plane. `GET /_sim/ledger` is the ledger as JSON, and
//! `PUT /_sim/faults` changes what goes wrong.
//!
//! Signed URLs name none: the signature tells which sandbox's token it was made with.
//!
//! # What is simulated
//!
//! | part | requests |
//! |---|---|
//! | control plane | create (with idempotency keys, from snapshots too), list, info, connect, resume, pause, timeout, refreshes, kill, fork, snapshots, network, metrics, logs, templates; health |
//! | limits | creation and other routes by GCRA, concurrent sandboxes, lifetimes, blocked teams |
//! | envd | health, files, metrics, variables; all of `filesystem.Filesystem` and `process.Process`, with what the [`ScriptedRunner`] runs, or another [`Runner`] |
//! | code interpreter | `/execute` and `/contexts`, with the same runner |
//!
//! What E2B has and this does not gets a 501 and `not simulated: ..`, or with Connect's
//! `unimplemented`. A [table][simulator] lists every route, and how its rule is known.
//!
//! [simulator]: https://github.com/sandtower/sandtower/blob/main/docs/simulator.md
//!
//! # Faults
//!
//! A [`World`]'s constants cause delays and failures. Besides, any number of [`Fault`]s is injected:
//! at set times, at a rate, for some requests or all. A [`Scenario`] is both, by name or from a
//! file.
//!
//! # Time and chance
//!
//! Time is tokio's: under a paused clock in a current-thread runtime, hours take seconds. Chance
//! comes from [`Config::seed`] alone: the same seed and the same requests give the same ledger.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod body;
mod clock;
mod config;
mod control;
mod date;
mod dice;
mod envd;
mod error;
mod fault;
mod fault_control;
mod files;
mod gcra;
mod gzip;
mod interpreter;
mod json;
mod ledger;
mod lock;
mod placement;
mod plan;
mod proxy;
mod query;
mod request;
mod response;
mod runner;
mod scenario;
mod script;
mod seconds;
mod server;
mod service;
mod sim;
mod state;
mod traffic;
mod world;

pub use body::Body;
pub use config::Config;
pub use error::{ConnectionError, ConnectionErrorKind, InvalidConfig};
pub use fault::{Fault, FaultKind, FaultResponse};
pub use files::{Entry, FileError, Files, Kind};
pub use ledger::{CreateCounts, End, Ledger, SandboxRecord};
pub use plan::{Limits, Plan, Rate};
pub use runner::{
    Cell, Command, Event, Events, Exception, Executing, Exit, Input, Io, Kernel, Output, Runner,
    Running, Signal, Size,
};
pub use scenario::Scenario;
pub use script::ScriptedRunner;
pub use server::{Server, serve};
pub use service::ResponseFuture;
pub use sim::Sim;
pub use world::World;
