//! What a user may know about requests and responses that this crate cannot.

use std::future::{Future, Pending, Ready, ready};

use sandtower_core::Attempt;

/// Finds out what became of an attempt whose result is unknown, before another one is made.
///
/// Asked only when something may have happened and the request is not safe to replay. Without such
/// a hook, `()`, the call ends there.
///
/// `S` is the service below the layer. Each look gets an instance of its own of it, which is not
/// ready: make it so before the call, as [`WhenReady::new`](sandtower_core::WhenReady::new) does.
/// What it sends there passes all layers below, and is never retried.
///
/// ```
/// use std::future::{Ready, ready};
/// use sandtower_core::Attempt;
/// use sandtower_retry::{Found, Reconcile};
///
/// /// Orders carry a number of their own, by which they are found again.
/// #[derive(Clone)]
/// struct ByNumber;
///
/// impl<S> Reconcile<S, u64, &'static str> for ByNumber {
///     type Look = Ready<Found<&'static str>>;
///
///     fn look(&self, _below: S, order: &u64, _failed: &Attempt) -> Option<Self::Look> {
///         Some(ready(if order % 2 == 0 { Found::Adopt("placed") } else { Found::Nothing }))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot find out what became of a `{Req}` by way of `{S}`",
    label = "not a `Reconcile<{S}, {Req}, {Res}>`",
    note = "`()` looks for nothing: a call whose result is unknown then ends"
)]
pub trait Reconcile<S, Req, Res> {
    /// Looks. Dropped with the call. It is not limited in time: the deadline of the call above does
    /// that.
    type Look: Future<Output = Found<Res>>;

    /// Begins to look by way of `inner` what became of `request`; `None`: there is no way to find
    /// out.
    fn look(&self, inner: S, request: &Req, failed: &Attempt) -> Option<Self::Look>;
}

/// What a [`Reconcile`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<Res> {
    /// The work was done; this is its response.
    Adopt(Res),
    /// Nothing happened: another attempt may be made.
    Nothing,
    /// It cannot be told: the call ends with the response that it has.
    Unknown,
}

impl<S, Req, Res> Reconcile<S, Req, Res> for () {
    type Look = Pending<Found<Res>>;

    fn look(&self, _inner: S, _request: &Req, _failed: &Attempt) -> Option<Self::Look> {
        None
    }
}

/// What becomes of responses.
///
/// The default, `()`, drops a failed response and tells the caller nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what becomes of a `{Res}`",
    label = "not a `ResponseHooks<{Res}>`",
    note = "`()` drops failed responses; `Http` of `sandtower-http` is for HTTP"
)]
pub trait ResponseHooks<Res> {
    /// Discards a failed response.
    type Discard: Future<Output = ()>;

    /// Discards the failed `response` while the next attempt waits for its time; what is not done by
    /// then is dropped. The place to read the little that is left of a body, so that its connection
    /// can be used again.
    fn discard(&self, response: Res) -> Self::Discard;

    /// Writes on the `response` for the caller which attempt got it. Called after a retry only.
    fn stamp(&self, _response: &mut Res, _attempt: &Attempt) {}
}

impl<Res> ResponseHooks<Res> for () {
    type Discard = Ready<()>;

    fn discard(&self, response: Res) -> Ready<()> {
        drop(response);
        ready(())
    }
}
