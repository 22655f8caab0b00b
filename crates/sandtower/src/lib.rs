//! Tower layers for running users' code in sandboxes.
//!
//! Every layer is a crate of its own and stacks over any service; this crate re-exports them all and
//! knows the one thing that they do not: in which [order](stack) they stand for calls of E2B.
//!
//! ```
//! # async fn example<S, B>(http: S) -> Result<(), sandtower::core::BoxError>
//! # where
//! #     S: tower_service::Service<
//! #             http::Request<http_body_util::Full<bytes::Bytes>>,
//! #             Response = http::Response<B>,
//! #             Error = sandtower::core::BoxError,
//! #         > + Clone + Send + Sync + 'static,
//! #     S::Future: Send,
//! #     B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
//! #     B::Error: Into<sandtower::core::BoxError>,
//! # {
//! use sandtower::e2b::{Command, Config, NewSandbox};
//! use sandtower::stack::{Plan, Stack};
//!
//! // `http` is any HTTP client that is a tower service, such as hyper-util's.
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
