//! What HTTP means to the layers of sandtower.
//!
//! - [`Http`] is how requests are sent again and carry their call's deadline;
//! - [`HttpClassify`] tells what a request asks and what its answer says, by method, status and
//!   header fields; [`verdict_of_status`] and [`verdict_of_transport`] are its two tables;
//! - [`headers`] parses the fields that servers use to say "not now";
//! - [`InterpretLayer`] is the innermost layer and the one place that reads bodies: what they mean
//!   is a hook, [`Interpret`], whose [`Verdict`](sandtower_core::Verdict) is believed by all above.
//!
//! Nothing here knows any particular service.
//!
//! ```
//! use http::{Method, Request, Response, StatusCode};
//! use sandtower_core::{BoxError, Classify, Effect, Judge, Replay, Verdict};
//! use sandtower_http::HttpClassify;
//!
//! let request = Request::builder().method(Method::PUT).body(()).unwrap();
//! let judge = HttpClassify::default().ask(&request);
//! assert_eq!(Judge::<Response<()>>::asked(&judge).replay, Replay::Safe);
//!
//! let mut answer = Response::new(());
//! *answer.status_mut() = StatusCode::BAD_GATEWAY;
//! assert_eq!(judge.head(Ok(&answer)), Verdict::transient(Effect::Maybe));
//! ```

mod classify;
pub mod headers;
mod interpret;
mod interpreted;
mod interpreter;
mod reading;
mod request;
mod status;
mod transport;

pub use classify::{HttpClassify, HttpJudge, asked};
pub use interpret::{Excerpt, Interpret};
pub use interpreted::Interpreted;
pub use interpreter::{DEFAULT_CAP, InterpretLayer, Interpreter, ResponseFuture};
pub use request::{Deadline, Http, is_idempotent};
pub use status::verdict_of_status;
pub use transport::verdict_of_transport;
