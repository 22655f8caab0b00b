//! The words of sandtower as types and traits.
//!
//! Everything here is for layers to agree on: what a request [asks](Asked), what an answer
//! [says](Verdict), what decides whether an attempt may go now (a [`Gate`]) and what a layer's own
//! "no" looks like (a [`Refusal`]). This crate knows no HTTP, names no layer and needs no runtime:
//! the time is an argument or a [`Clock`], randomness is a [`Seed`].
//!
//! | word | type |
//! |---|---|
//! | asked: what a request tells before it is sent | [`Asked`] |
//! | operation: the kind of call | [`Operation`] |
//! | scope: the failure domain a breaker or budget is kept for | [`Scope`] |
//! | verdict: what an attempt says | [`Verdict`] |
//! | refusal: our own "no" | [`Refusal`] |
//! | gate: may an attempt go now? | [`Gate`] |
//! | token, guard: a gate's "yes", and who gives it back | [`Gate::Token`], [`Guard`] |
//!
//! Layers that decide in `call` are the one shell over a gate, [`Gated`]; layers that wait in their
//! future build on [`WhenReady`].

mod asked;
mod attempt;
mod backoff;
mod classify;
mod clock;
mod ending;
mod error;
mod gate;
mod gated;
mod gates;
mod guard;
mod refusal;
mod seed;
mod verdict;
mod wait_list;
mod watching;
mod when_ready;

pub use asked::{Asked, Asks, Operation, Replay, Scope};
pub use attempt::{Attempt, CloneRequest, Resend, SendOnce, SetDeadline};
pub use backoff::{Backoff, Delays};
pub use classify::{
    ByResult, ByResultJudge, Classify, ClassifyFn, FnJudge, Judge, classify_fn, judge,
};
pub use clock::{Clock, Tick};
pub use ending::{Ending, EndingTeller};
pub use error::{BoxError, Judged, chain, find, verdict_of_error};
pub use gate::{Changed, Gate, Settlement, Take, Watchers};
pub use gated::{Gated, GatedLayer, ResponseFuture};
pub use guard::Guard;
pub use refusal::{Reason, Refusal};
pub use seed::Seed;
pub use verdict::{About, Advice, Allowance, Effect, Outcome, Verdict};
pub use wait_list::{Place, WaitList};
pub use watching::Watching;
pub use when_ready::WhenReady;

// The generator that seeds hand out is part of this crate's interface.
pub use fastrand::Rng;
