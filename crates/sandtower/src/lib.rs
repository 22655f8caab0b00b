//! Tower layers for running users' code in sandboxes.
//!
//! Every layer is a crate of its own and stacks over any service; this crate re-exports them all and
//! knows the one thing that they do not: in which [order](stack) they stand for calls of E2B.
//!
//! ```no_run
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use sandtower::e2b::{Command, Config, NewSandbox};
//! use sandtower::stack::{Plan, Stack};
//!
//! # async fn example() -> Result<(), sandtower::core::BoxError> {
//! // Any HTTP client will do that is a tower service.
//! let http = Client::builder(TokioExecutor::new()).build_http();
//! let e2b = Stack::recommended(Config::from_env()?, Plan::Hobby).client(http);
//!
//! let sandbox = e2b.create(&NewSandbox::new("base")).await?;
//! let output = e2b.run(&sandbox, &Command::new("echo hi")).await?;
//! e2b.kill(sandbox.id()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`core`] | the words that all layers share |
//! | [`retry`] | tries again, by verdict, within a budget |
//! | [`circuit_breaker`] | stops calling a service that is dead |
//! | [`rate_limit`] | counts calls by operation, and paces them |
//! | [`health_check`] | checks what was handed out |
//! | [`admission`] | the waiting room: limits, lines, and the gates above in one place |
//! | [`timeout`] | the deadline of a call, the time-out of an attempt |
//! | [`http`](mod@http) | what HTTP means to the layers (feature `http`) |
//! | [`e2b`] | what E2B means to them; the typed client (feature `e2b`) |
//! | [`stack`] | the recommended stack (feature `e2b`) |

pub use sandtower_admission as admission;
pub use sandtower_circuit_breaker as circuit_breaker;
pub use sandtower_core as core;
#[cfg(feature = "e2b")]
pub use sandtower_e2b as e2b;
pub use sandtower_health_check as health_check;
#[cfg(feature = "http")]
pub use sandtower_http as http;
pub use sandtower_rate_limit as rate_limit;
pub use sandtower_retry as retry;
pub use sandtower_time as time;
pub use sandtower_timeout as timeout;

#[cfg(feature = "e2b")]
pub mod stack;
