use std::future::Future;

use sandtower_core::{Operation, RequestInfo, Verdict};

/// Tells whether what a response created is alive, and releases it if no caller gets it.
///
/// `S` is the service below the layer. Probe and release get an instance of their own of it, which
/// is not ready: make it so before the call, as
/// [`WhenReady::new`](sandtower_core::WhenReady::new) does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not check a `{Res}` by way of `{S}`",
    label = "not a `Check<{S}, {Res}>`",
    note = "`check_fn(probe, discard)` is one if its arguments have types: \
            `|inner: {S}, response: &{Res}| -> Option<impl Future<Output = Verdict>>` and \
            `|inner: {S}, response: &{Res}| -> impl Future<Output = ()> + Send`",
    note = "the future of the release must not borrow from the response"
)]
pub trait Check<S, Res>: Send + Sync + 'static {
    /// Probes one response. Dropped when it takes too long, and when the caller goes.
    type Probe: Future<Output = Verdict>;

    /// Releases one response. It outlives the caller, so it is spawned.
    type Discard: Future<Output = ()> + Send + 'static;

    /// Whether a request like this can create anything at all. If not, it costs nothing.
    fn checks(&self, _request: &RequestInfo) -> bool {
        true
    }

    /// Begins one probe of what `response` created. `None`: it created nothing. Asked once for each
    /// try; what is not `None` at first must not become it.
    ///
    /// A verdict of [success](Verdict::is_success) passes. A
    /// [permanent](sandtower_core::Outcome::Permanent) one ends the check without more tries.
    fn probe(&self, inner: S, response: &Res) -> Option<Self::Probe>;

    /// Releases what `response` created, since no caller will get it. There may be nothing to release
    /// in it.
    ///
    /// The future must try as long as is worth it: once it ends, it is not asked for again. If its
    /// runtime ends first, or is another than that of whoever [drains](crate::Handle::drain), the
    /// release begins anew, so releasing twice must do no harm.
    fn discard(&self, inner: S, response: &Res) -> Self::Discard;
}

/// A check out of two functions: one that probes a response, and one that releases it.
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
    /// Only responses to these operations create anything; the others cost nothing.
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
