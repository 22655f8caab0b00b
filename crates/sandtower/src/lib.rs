//! Tower layers for running users' code in sandboxes.
//!
//! Every layer is a crate of its own and stacks over any service; this crate re-exports them all and
//! knows the one thing that they do not: in which [order](stack) they stand for calls of E2B.
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
//! It waits for its turn where E2B has limits, retries what passes, never makes a sandbox twice, leaves
//! a dead service alone, and says so. Everything about it can be [changed](stack::Builder); any HTTP
//! client will do that is a tower service:
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
//! | [`core`] | | the words that all layers share |
//! | [`retry`] | `retry` | tries again, by verdict, within a budget |
//! | [`circuit_breaker`] | `circuit-breaker` | stops calling a service that is dead |
//! | [`rate_limit`] | `rate-limit` | counts calls by operation, and paces them |
//! | [`health_check`] | `health-check` | checks what was handed out |
//! | [`admission`] | `admission` | the waiting room: limits, lines, and the gates above in one place |
//! | [`fallback`] | `fallback` | another request, service or answer; regions |
//! | [`timeout`] | `timeout` | the deadline of a call, the time-out of an attempt |
//! | [`http`](mod@http) | `http` | what HTTP and gRPC mean to the layers; with `hyper`, `tonic` or `tower-http`, what these libraries say |
//! | [`e2b`](mod@e2b) | `e2b` | what E2B means to them; the typed client |
//! | [`stack`] | `e2b` | the recommended stack |
//!
//! The default feature `transport` is `e2b` with an HTTP client. One layer alone, with
//! `default-features = false`, brings neither HTTP nor TLS. [`Message`] says what a
//! user reads while waiting, or after a failure.
//!
//! In the repository, `docs/guide.md` says how to choose layers and put them together,
//! `docs/settings.md` what each setting does, `docs/migration.md` how to come here from retries of one's
//! own, and `docs/operations.md` what to watch and what to do when something is wrong.

#[cfg(feature = "e2b")]
mod client;
mod message;
#[cfg(all(feature = "admission", feature = "rate-limit"))]
mod queue;
#[cfg(feature = "e2b")]
pub mod stack;
#[cfg(feature = "transport")]
mod start;

#[cfg(feature = "e2b")]
pub use client::E2b;
pub use message::Message;
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
#[cfg(feature = "rate-limit")]
pub use sandtower_rate_limit as rate_limit;
#[cfg(feature = "retry")]
pub use sandtower_retry as retry;
#[cfg(feature = "timeout")]
pub use sandtower_timeout as timeout;
