//! The words of sandtower as types and traits.
//!
//! Everything here is for layers to agree on: what a request [asks](Asked), what an answer
//! [says](Verdict), what decides whether an attempt may go now (a [`Gate`]) and what a layer's own
//! "no" looks like (a [`Rejection`]). This crate knows no HTTP, names no layer and needs no runtime:
//! the time is an argument or a [`Clock`], randomness is a [`Seed`].
//!
//! | word | type |
//! |---|---|
//! | asked: what a request tells before it is sent | [`RequestInfo`] |
//! | operation: the kind of call | [`Operation`] |
//! | scope: the failure domain a breaker or budget is kept for | [`Scope`] |
//! | verdict: what an attempt says | [`Verdict`] |
//! | rejection: our own "no" | [`Rejection`] |
//! | gate: may an attempt go now? | [`Gate`] |
//! | token, guard: a gate's "yes", and who gives it back | [`Gate::Token`], [`Guard`] |
//!
//! Layers that decide in `call` are the one shell over a gate, [`Gated`]; layers that wait in their
//! future build on [`WhenReady`].

mod attempt;
mod backoff;
mod classify;
mod clock;
mod end_of_stream;
mod error;
mod gate;
mod gated;
mod gates;
mod guard;
mod rejection;
mod request_info;
mod seed;
mod verdict;
mod wait_list;
mod watching;
mod when_ready;

pub use attempt::{Attempt, CloneRequest, Resend, SendOnce, SetDeadline};
pub use backoff::{Backoff, Delays};
pub use classify::{
    ByResult, ByResultClassifier, Classify, ClassifyFn, ClassifyResponse, FnClassifier,
    classify_fn, judge,
};
pub use clock::{Clock, Tick};
pub use end_of_stream::{EndOfStream, EndOfStreamReporter};
pub use error::{BoxError, ClassifiedError, chain, find, verdict_of_error};
pub use gate::{Completion, Gate, Subscriber, Subscribers, Take};
pub use gated::{Gated, GatedLayer, ResponseFuture};
pub use guard::Guard;
pub use rejection::{Reason, Rejection};
pub use request_info::{HasInfo, Operation, Replay, RequestInfo, Scope};
pub use seed::Seed;
pub use verdict::{About, Advice, Allowance, Effect, Outcome, Verdict};
pub use wait_list::{Place, WaitList};
pub use watching::Watching;
pub use when_ready::WhenReady;

// The generator that seeds hand out is part of this crate's interface.
pub use fastrand::Rng;
