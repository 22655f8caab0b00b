use std::future::Future;

use sandtower_core::{Operation, RequestInfo, Verdict};

/// Tells whether what an answer hands out is alive, and releases it if nobody gets it.
///
/// `S` is the service below the layer. Probe and release get an instance of their own of it, which
/// is not ready: make it so before the call, as
/// [`WhenReady::new`](sandtower_core::WhenReady::new) does.
pub trait Check<S, Res> {
    /// Probes one answer. Dropped when it takes too long, and when the caller goes.
    type Probe: Future<Output = Verdict>;

    /// Releases one answer. It outlives the caller, so it is spawned.
    type Discard: Future<Output = ()> + Send + 'static;

    /// Whether a request like this can hand out anything at all. If not, it costs nothing.
    fn checks(&self, _asked: &RequestInfo) -> bool {
        true
    }

    /// Begins one probe of what `answer` hands out. `None`: it hands out nothing. Asked once for
    /// each try; what is not `None` at first must not become it.
    ///
    /// A verdict of [success](Verdict::is_success) passes. A
    /// [permanent](sandtower_core::Outcome::Permanent) one ends the check without more tries.
    fn probe(&self, inner: S, answer: &Res) -> Option<Self::Probe>;

    /// Releases what `answer` hands out, since nobody will ever get it. There may be nothing to
    /// release in it.
    ///
    /// The future must try as long as is worth it: nobody does it again. This method itself may run
    /// while a panic unwinds, so it must not panic; its future may.
    fn discard(&self, inner: S, answer: Res) -> Self::Discard;
}

/// A check out of two functions: one that probes an answer, and one that releases it.
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
    /// Only answers to these operations hand anything out; the others cost nothing.
    #[must_use]
    pub fn only(mut self, operations: &'static [Operation]) -> Self {
        self.only = Some(operations);
        self
    }
}

impl<S, Res, P, D, PF, DF> Check<S, Res> for CheckFn<P, D>
where
    P: Fn(S, &Res) -> Option<PF>,
    PF: Future<Output = Verdict>,
    D: Fn(S, Res) -> DF,
    DF: Future<Output = ()> + Send + 'static,
{
    type Probe = PF;
    type Discard = DF;

    fn checks(&self, info: &RequestInfo) -> bool {
        self.only.is_none_or(|only| only.contains(&info.operation))
    }

    fn probe(&self, inner: S, answer: &Res) -> Option<PF> {
        (self.probe)(inner, answer)
    }

    fn discard(&self, inner: S, answer: Res) -> DF {
        (self.discard)(inner, answer)
    }
}

impl<P, D> std::fmt::Debug for CheckFn<P, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckFn").field("only", &self.only).finish_non_exhaustive()
    }
}
