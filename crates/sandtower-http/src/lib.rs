//! What HTTP means to the layers of sandtower.
//!
//! - [`Http`] is how requests are sent again and carry their call's deadline, and what becomes of
//!   failed answers; [`ReplayLayer`] lets streaming bodies be sent again too, with [`Replayed`];
//! - [`HttpClassify`] tells what a request asks and what its answer says, by method, status and
//!   header fields; [`verdict_of_status`] and [`verdict_of_transport`] are its two tables.
//!   [`GrpcClassify`] does so for gRPC, with [`verdict_of_grpc`];
//! - [`headers`] parses the fields that servers use to say "not now";
//! - [`InterpretLayer`] is the innermost layer and the one place that reads bodies: what they mean
//!   is a hook, [`Interpret`], whose [`Verdict`](sandtower_core::Verdict) is believed by all above;
//! - [`RejectionResponseLayer`] turns rejections into answers, for services that stand on our layers.
//!
//! Nothing here knows any particular service.
//!
//! | feature | what it adds |
//! |---|---|
//! | `retry` (default) | [`Http`] as the hook of a `RetryLayer` for failed answers: their small rest is read, so that the connection is used again |
//! | `hyper` | the errors of hyper, hyper-util and h2 are told apart: did the request leave? |
//! | `tower-http` | `TowerClassify`: the classifiers of `tower_http::classify` as ours |
//! | `tonic` | rejections as gRPC answers; the errors of Tonic's channel |
//!
//! ```
//! use http::{Method, Request, Response, StatusCode};
//! use sandtower_core::{Asks, BoxError, Classify, Effect, ClassifyResponse, Replay, Verdict};
//! use sandtower_http::HttpClassify;
//!
//! let request = Request::builder().method(Method::PUT).body(()).unwrap();
//! let judge = HttpClassify::default().classify(&request);
//! assert_eq!(judge.info().replay, Replay::Safe);
//!
//! let mut answer = Response::new(());
//! *answer.status_mut() = StatusCode::BAD_GATEWAY;
//! assert_eq!(judge.head(Ok(&answer)), Verdict::transient(Effect::Maybe));
//! ```

mod classify;
#[cfg(feature = "retry")]
mod discard;
mod ended;
mod grpc;
mod grpc_end;
pub mod headers;
mod interpret;
mod interpreted;
mod interpreter;
mod reading;
mod rejection;
mod rejection_response;
mod replay;
mod request;
mod status;
#[cfg(feature = "tower-http")]
mod tower_http;
mod transport;

#[cfg(feature = "retry")]
pub use discard::Drain;
#[cfg(feature = "tonic")]
pub use rejection::rejection_grpc;
#[cfg(feature = "tower-http")]
pub use tower_http::{Failure, TowerClassifier, TowerClassify};

pub use classify::{HttpClassifier, HttpClassify, request_info};
pub use ended::ReadEnd;
pub use grpc::{GrpcClassifier, GrpcClassify, GrpcMethod, verdict_of_grpc};
pub use grpc_end::GrpcInterpret;
pub use interpret::{Excerpt, Interpret};
pub use interpreted::Interpreted;
pub use interpreter::{DEFAULT_CAP, InterpretLayer, Interpreter, ResponseFuture};
pub use rejection::rejection_response;
pub use rejection_response::{AnsweredBody, Answering, RejectionResponse, RejectionResponseLayer};
pub use replay::{NotReplayable, ReplayBody, ReplayLayer, Replayable, Replayed};
pub use request::{Deadline, Http, is_idempotent};
pub use status::verdict_of_status;
pub use transport::verdict_of_transport;
