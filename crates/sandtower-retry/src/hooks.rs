//! What users know about requests and responses, and this crate does not.

use std::future::{Future, Pending, Ready, ready};

use sandtower_core::Attempt;

/// Finds out what an attempt with an unknown result did, before the next one is sent.
///
/// Called only when the attempt may have had an effect and the request is not safe to replay. Without a
/// hook, `()`, the call ends there.
///
/// `S` is the service below the layer. Each look gets its own instance of it, which is not ready: make it
/// ready before the call, as [`WhenReady::new`](sandtower_core::WhenReady::new) does. Its requests pass
/// all layers below, and are never retried.
///
/// ```
/// use std::future::{Ready, ready};
/// use sandtower_core::Attempt;
/// use sandtower_retry::{Found, Reconcile};
///
/// /// Orders carry a number, by which they can be found.
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
    /// The look. Dropped with the call. It has no timeout of its own: the deadline of the call above
    /// limits it.
    type Look: Future<Output = Found<Res>>;

    /// Finds out through `inner` what `request` did; `None`: that is not possible.
    fn look(&self, inner: S, request: &Req, failed: &Attempt) -> Option<Self::Look>;
}

/// The result of a [`Reconcile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<Res> {
    /// The work was done; this is its response.
    Adopt(Res),
    /// Nothing happened: another attempt may be sent.
    Nothing,
    /// Unknown: the call ends with the response it has.
    Unknown,
}

impl<S, Req, Res> Reconcile<S, Req, Res> for () {
    type Look = Pending<Found<Res>>;

    fn look(&self, _inner: S, _request: &Req, _failed: &Attempt) -> Option<Self::Look> {
        None
    }
}

/// Hooks for responses.
///
/// The default, `()`, drops a failed response and adds nothing to the last one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no hooks for a `{Res}`",
    label = "not a `ResponseHooks<{Res}>`",
    note = "`()` drops failed responses; `Http` of `sandtower-http` is for HTTP"
)]
pub trait ResponseHooks<Res> {
    /// Discards a failed response.
    type Discard: Future<Output = ()>;

    /// Discards the failed `response` while the next attempt waits; if it takes longer, it is dropped. The
    /// place to read the rest of a body, so that its connection can be reused.
    fn discard(&self, response: Res) -> Self::Discard;

    /// Records on the `response` for the caller which attempt got it. Called only after a retry.
    fn stamp(&self, _response: &mut Res, _attempt: &Attempt) {}
}

impl<Res> ResponseHooks<Res> for () {
    type Discard = Ready<()>;

    fn discard(&self, response: Res) -> Ready<()> {
        drop(response);
        ready(())
    }
}
