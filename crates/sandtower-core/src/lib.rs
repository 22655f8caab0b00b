//! The words of sandtower as types and traits.
//!
//! Everything here is for layers to agree on: what a request [tells](RequestInfo), what a response
//! [says](Verdict), what decides whether an attempt may go now (a [`Gate`]) and what a layer's own
//! "no" looks like (a [`Rejection`]). This crate knows no HTTP and names no layer. Time is
//! a [`Tick`], randomness is a [`Seed`]; engines take both as arguments.
//!
//! | word | type |
//! |---|---|
//! | request info: what a request tells before it is sent | [`RequestInfo`] |
//! | operation: the kind of call | [`Operation`] |
//! | scope: the failure domain that a breaker or budget is kept for | [`Scope`] |
//! | verdict: what a response or an error says | [`Verdict`] |
//! | rejection: a layer of ours says no | [`Rejection`] |
//! | gate: an admission policy | [`Gate`] |
//! | permit: what a gate gives for an attempt; a guard gives it back | [`Gate::Permit`], [`Guard`] |
//! | explanation: where the time of a call went, by stages | [`Explanation`] |
//! | completion: what became of an attempt | [`Completion`] |
//!
//! Layers that decide in `call` are the one shell over a gate, [`Gated`]; layers that wait in their
//! future build on [`WhenReady`] and [`Spare`].

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod attempt;
mod backoff;
mod call_error;
mod classify;
mod deferred;
mod end_of_stream;
mod error;
mod explain;
mod gate;
mod gated;
mod gates;
mod guard;
mod log_limit;
mod metric_source;
mod observe;
mod rejection;
mod request_info;
mod seed;
pub mod settings;
mod sleep;
mod subscribers;
mod tenants;
mod tick;
mod trace_parent;
mod verdict;
mod when_ready;

pub use attempt::{Attempt, CloneRequest, Resend, SendOnce, SetDeadline};
pub use backoff::{Backoff, Delays};
pub use call_error::CallError;
pub use classify::{
    ByResult, ByResultClassifier, Classify, ClassifyFn, ClassifyResponse, FnClassifier,
    classify_fn, judge,
};
pub use deferred::Deferred;
pub use end_of_stream::{EndOfStream, EndOfStreamReporter};
pub use error::{
    BoxError, CallerError, ClassifiedError, chain, find, is_rejected, verdict_of_error,
};
pub use explain::{
    CallStage, Explained, ExplainedError, Explanation, MOST_STAGES, Recording, StageKind,
    explained, recording,
};
pub use gate::{Completion, Gate, No, Stage};
pub use gated::{Gated, GatedLayer, ResponseFuture};
pub use guard::Guard;
pub use log_limit::LogLimit;
pub use metric_source::MetricSource;
pub use observe::{CallEnd, ObserveCalls};
pub use rejection::{Reason, Rejection};
pub use request_info::{
    HasInfo, Operation, Patience, Priority, Replay, RequestInfo, Resource, Scope, Tenant,
};
pub use seed::Seed;
pub use sleep::Sleep;
pub use subscribers::{Change, Subscriber, Subscribers, WakeOnChange};
pub use tenants::{TenantProfile, Tenants, TenantsConfig, TenantsFull, TenantsSnapshot};
pub use tick::{Now, Tick};
pub use trace_parent::{InvalidTraceParent, TraceParent};
pub use verdict::{About, Advice, Allowance, Effect, Outcome, Verdict};
pub use when_ready::{Spare, WhenReady};

// The generator that a seed makes is part of this crate's interface.
pub use fastrand::Rng;
