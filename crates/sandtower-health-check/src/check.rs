use std::future::Future;

use sandtower_core::{Operation, RequestInfo, Verdict};

/// Checks whether the resource of a response is alive, and releases it if no caller gets it.
///
/// `S` is the service below the layer. Probe and release get their own instance of it, which is not ready:
/// make it ready before the call, as [`WhenReady::new`](sandtower_core::WhenReady::new) does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not check a `{Res}` by way of `{S}`",
    label = "not a `Check<{S}, {Res}>`",
    note = "`check_fn(probe, discard)` is one if its arguments have types: \
            `|inner: {S}, response: &{Res}| -> Option<impl Future<Output = Verdict>>` and \
            `|inner: {S}, response: &{Res}| -> impl Future<Output = ()> + Send`",
    note = "the future of the release must not borrow from the response"
)]
pub trait Check<S, Res>: Send + Sync + 'static {
    /// Probes one response. Dropped if it takes too long, or if the caller goes away.
    type Probe: Future<Output = Verdict>;

    /// Releases one response. It outlives the caller, so it is spawned.
    type Discard: Future<Output = ()> + Send + 'static;

    /// Whether a request like this can create anything at all. If not, the layer costs nothing.
    fn checks(&self, _request: &RequestInfo) -> bool {
        true
    }

    /// Starts a probe of the resource in `response`. `None`: it created nothing. Called once for each
    /// try; it must not change from `Some` to `None`.
    ///
    /// A verdict of [success](Verdict::is_success) passes. A
    /// [permanent](sandtower_core::Outcome::Permanent) one ends the check without more tries.
    fn probe(&self, inner: S, response: &Res) -> Option<Self::Probe>;

    /// Releases the resource in `response`, since no caller will get it. There may be nothing to
    /// release.
    ///
    /// The future must retry as long as is sensible: once it ends, it is not started again. If its
    /// runtime ends first, or differs from the one that [drains](crate::Handle::drain), the release
    /// starts over, so releasing twice must do no harm.
    fn discard(&self, inner: S, response: &Res) -> Self::Discard;
}

/// A check from two functions: one that probes a response, and one that releases it.
///
/// See [the crate](crate) for an example.
pub fn check_fn<P, D>(probe: P, discard: D) -> CheckFn<P, D> {
    CheckFn { probe, discard, only: None }
}

/// The check of [`check_fn`].
#[derive(Clone, Copy)]
pub struct CheckFn<P, D> {
    probe: P,
    discard: D,
    only: Option<&'static [Operation]>,
}

impl<P, D> CheckFn<P, D> {
    /// Declares that only responses to these operations create anything; the others cost nothing.
    #[must_use]
    pub fn only(mut self, operations: &'static [Operation]) -> Self {
        self.only = Some(operations);
        self
    }
}

impl<S, Res, P, D, PF, DF> Check<S, Res> for CheckFn<P, D>
where
    P: Fn(S, &Res) -> Option<PF> + Send + Sync + 'static,
    PF: Future<Output = Verdict>,
    D: Fn(S, &Res) -> DF + Send + Sync + 'static,
    DF: Future<Output = ()> + Send + 'static,
{
    type Probe = PF;
    type Discard = DF;

    fn checks(&self, info: &RequestInfo) -> bool {
        self.only.is_none_or(|only| only.contains(&info.operation))
    }

    fn probe(&self, inner: S, response: &Res) -> Option<PF> {
        (self.probe)(inner, response)
    }

    fn discard(&self, inner: S, response: &Res) -> DF {
        (self.discard)(inner, response)
    }
}

impl<P, D> std::fmt::Debug for CheckFn<P, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckFn").field("only", &self.only).finish_non_exhaustive()
    }
}
