//! Tower layers for running users' code in sandboxes.
//!
//! Every layer is a crate of its own and stacks over any service. This crate re-exports them all and adds
//! the one thing that they do not know: their [order](stack) for calls to E2B.
//!
//! ```no_run
//! use sandtower::e2b::{Command, NewSandbox};
//!
//! # async fn example(key: &str) -> Result<(), sandtower::core::BoxError> {
//! let e2b = sandtower::e2b(key)?;
//! let sandbox = e2b.create(&NewSandbox::new("base")).await?;
//! let output = e2b.run(&sandbox, &Command::new("echo hi")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The client queues where E2B imposes limits, retries transient failures, never creates a sandbox
//! twice, stops calling E2B while it is down, and reports all of this. Every setting can be
//! [changed](stack::Builder). Any HTTP client that is a tower service works:
//!
//! ```no_run
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use sandtower::E2b;
//! use sandtower::e2b::Config;
//! use sandtower::stack::{Plan, Stack};
//!
//! # async fn example() -> Result<(), sandtower::core::BoxError> {
//! let stack = Stack::builder(Config::from_env()?).plan(Plan::Pro).build()?;
//! let http = Client::builder(TokioExecutor::new()).build_http();
//! E2b::new(&stack, http).health().await?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | feature | what it is |
//! |---|---|---|
//! | [`core`] | | the types and traits that all layers share |
//! | [`retry`] | `retry` | retries by verdict, within a budget |
//! | [`circuit_breaker`] | `circuit-breaker` | stops calling a service that is down |
//! | [`rate_limit`] | `rate-limit` | counts calls by operation and paces them |
//! | [`health_check`] | `health-check` | checks new resources and discards dead ones |
//! | [`admission`] | `admission` | admission control: limits, queues, and the gates above in one place |
//! | [`fallback`] | `fallback` | another request, service or response; regions |
//! | [`timeout`] | `timeout` | the deadline of a call, the timeout of an attempt |
//! | [`http`](mod@http) | `http` | classifies HTTP and gRPC; with `hyper`, `tonic` or `tower-http`, the errors of these libraries |
//! | [`e2b`](mod@e2b) | `e2b` | classifies E2B's API; the typed client |
//! | [`stack`] | `e2b` | the recommended stack |
//! | `pool` | `pool` | a warm pool: creations are served from stock, within a budget |
//! | `axum` | `axum` | progress as server-sent events, errors as responses |
//!
//! The default feature `transport` is `e2b` with an HTTP client. One layer alone, with
//! `default-features = false`, has neither HTTP nor TLS. [`Message`] is the text for a
//! user of your application while a call waits, or after a failure.
//!
//! The [guide] explains how to choose and compose layers, [settings] what each setting does, [migration]
//! how to move here from hand-written retries, and [operations] what to watch and what to do when something
//! is wrong.
//!
//! [guide]: https://github.com/sandtower/sandtower/blob/main/docs/guide.md
//! [settings]: https://github.com/sandtower/sandtower/blob/main/docs/settings.md
//! [migration]: https://github.com/sandtower/sandtower/blob/main/docs/migration.md
//! [operations]: https://github.com/sandtower/sandtower/blob/main/docs/operations.md

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(doctest, feature = "transport"))]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "e2b")]
mod client;
mod message;
#[cfg(feature = "admission")]
mod progress;
#[cfg(all(feature = "admission", feature = "rate-limit"))]
mod queue;
#[cfg(feature = "e2b")]
pub mod stack;
#[cfg(feature = "transport")]
mod start;

#[cfg(feature = "e2b")]
pub use client::E2b;
pub use message::Message;
#[cfg(feature = "admission")]
pub use progress::{ProgressStream, ProgressUpdate};
#[cfg(all(feature = "admission", feature = "rate-limit"))]
pub use queue::rate_limit_queue;
#[cfg(feature = "transport")]
pub use start::{StartError, e2b};

#[cfg(feature = "admission")]
pub use sandtower_admission as admission;
#[cfg(feature = "circuit-breaker")]
pub use sandtower_circuit_breaker as circuit_breaker;
pub use sandtower_core as core;
#[cfg(feature = "e2b")]
pub use sandtower_e2b as e2b;
#[cfg(feature = "fallback")]
pub use sandtower_fallback as fallback;
#[cfg(feature = "health-check")]
pub use sandtower_health_check as health_check;
#[cfg(feature = "http")]
pub use sandtower_http as http;
#[cfg(feature = "pool")]
pub use sandtower_pool as pool;
#[cfg(feature = "rate-limit")]
pub use sandtower_rate_limit as rate_limit;
#[cfg(feature = "retry")]
pub use sandtower_retry as retry;
#[cfg(feature = "timeout")]
pub use sandtower_timeout as timeout;
