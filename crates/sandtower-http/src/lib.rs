//! HTTP and gRPC for the layers of sandtower.
//!
//! - [`Http`] clones requests for retries, sets the deadline of their call, and discards failed
//!   responses; [`ReplayLayer`] makes streaming bodies replayable, with [`Replayed`];
//! - [`HttpClassify`] classifies requests and responses by method, status and header fields; [`verdict_of_status`] and [`verdict_of_transport`] are its two tables.
//!   [`GrpcClassify`] does so for gRPC, with [`verdict_of_grpc`];
//! - [`IdempotencyKeyLayer`] makes requests safe to replay for services that honour `Idempotency-Key`;
//! - [`IdleBodyLayer`] limits how long the body of a response may stall;
//! - [`Callers`] reads the tenant and the priority of a request from header fields;
//! - [`CallerBody`] marks the errors of a request body as the caller's own; [`RequestBody`] is either whole
//!   or a stream of the caller's;
//! - [`headers`] parses the fields that servers use to say "not now";
//! - [`InterpretLayer`] is the innermost layer and the only one that reads bodies: its hook, [`Interpret`],
//!   gives the [`Verdict`](sandtower_core::Verdict) that all layers above use;
//! - [`ExplainLayer`] reports where the time of a call went, in extensions, errors, events and spans, and
//!   [`AttemptSpanLayer`] creates a span for each attempt; [`server_timing`] is the header field;
//! - [`RejectionResponseLayer`] turns rejections into responses, for servers built on these layers.
//!
//! Nothing here is specific to one service.
//!
//! | feature | what it adds |
//! |---|---|
//! | `retry` (default) | `retry_layer`, a `RetryLayer` for HTTP, and [`Http`] as its hook for failed responses |
//! | `hyper` | whether the request was sent, from the errors of hyper, hyper-util and h2 |
//! | `reqwest` | `Reqwest`: a reqwest client as a service |
//! | `tower-http` | `TowerClassify`: the classifiers of `tower_http::classify` as ours |
//! | `tonic` | rejections as gRPC responses; the errors of Tonic's channel |
//!
//! ```
//! use http::{Method, Request, Response, StatusCode};
//! use sandtower_core::{Classify, ClassifyResponse, Effect, HasInfo, Replay, Verdict};
//! use sandtower_http::HttpClassify;
//!
//! let request = Request::builder().method(Method::PUT).body(()).unwrap();
//! let classifier = HttpClassify::default().classify(&request);
//! assert_eq!(classifier.info().replay, Replay::Safe);
//!
//! let mut response = Response::new(());
//! *response.status_mut() = StatusCode::BAD_GATEWAY;
//! assert_eq!(classifier.classify(Ok(&response)), Verdict::transient(Effect::Maybe));
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod caller_body;
mod callers;
mod classify;
#[cfg(feature = "retry")]
mod discard;
mod ended;
mod explain;
mod grpc;
mod grpc_end;
pub mod headers;
mod idempotency_key;
mod idle_body;
mod interpret;
mod interpreted;
mod interpreter;
mod reading;
mod rejection;
mod rejection_response;
mod replay;
mod request;
mod request_body;
#[cfg(feature = "reqwest")]
mod reqwest;
mod status;
#[cfg(feature = "tower-http")]
mod tower_http;
mod transport;

#[cfg(feature = "retry")]
pub use discard::{Drain, retry_layer};
#[cfg(feature = "tonic")]
pub use rejection::rejection_grpc;
#[cfg(feature = "tower-http")]
pub use tower_http::{Failure, TowerClassifier, TowerClassify};

pub use caller_body::CallerBody;
pub use callers::{ByCaller, CallerClassifier, Callers};
pub use classify::{HttpClassifier, HttpClassify, replay_of, request_info};
pub use ended::ReadEnd;
pub use explain::{
    AttemptSpanFuture, AttemptSpanLayer, AttemptSpans, Explain, ExplainFuture, ExplainLayer,
    ExplainService, PropagateTrace, Traces, server_timing, set_trace_parent, trace_parent,
};
pub use grpc::{GrpcClassifier, GrpcClassify, GrpcMethod, verdict_of_grpc};
pub use grpc_end::GrpcInterpret;
pub use idempotency_key::{IdempotencyKey, IdempotencyKeyLayer};
pub use idle_body::{BodyIdle, IdleBody, IdleBodyFuture, IdleBodyLayer, MovingBody};
pub use interpret::{Excerpt, Interpret};
pub use interpreted::Interpreted;
pub use interpreter::{DEFAULT_CAP, InterpretLayer, Interpreter, ResponseFuture};
pub use rejection::{rejection_head, rejection_response};
pub use rejection_response::RejectionResponseLayer;
pub use rejection_response::{RejectionResponse, RejectionResponseBody, RejectionResponseFuture};
pub use replay::{NotReplayable, ReplayBody, ReplayLayer, Replayable, Replayed};
pub use request::{Deadline, Http, is_idempotent};
pub use request_body::{RequestBody, ResendBody};
#[cfg(feature = "reqwest")]
pub use reqwest::{Reqwest, ReqwestFuture};
pub use status::verdict_of_status;
pub use transport::{LocalResource, TransportFault, verdict_of_transport};
