//! What a user may know about requests and answers that this crate cannot.

use std::future::{Future, Pending, Ready, ready};

use sandtower_core::Attempt;

/// Looks what became of an attempt whose result is unknown, before it is tried again.
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
pub trait Reconcile<S, Req, Res> {
    /// Looks. Dropped when the caller goes; whoever sets no limit to it may hold the call for long.
    type Look: Future<Output = Found<Res>>;

    /// Begins to look by way of `inner` what became of `request`; `None`: there is no way to find
    /// out.
    fn look(&self, inner: S, request: &Req, failed: &Attempt) -> Option<Self::Look>;
}

/// What a [`Reconcile`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<Res> {
    /// The work was done; this is its answer.
    Adopt(Res),
    /// Nothing happened: it may be tried again.
    Nothing,
    /// It cannot be told: the call ends with the answer that it has.
    Unknown,
}

impl<S, Req, Res> Reconcile<S, Req, Res> for () {
    type Look = Pending<Found<Res>>;

    fn look(&self, _inner: S, _request: &Req, _failed: &Attempt) -> Option<Self::Look> {
        None
    }
}

/// What becomes of answers.
///
/// The default, `()`, drops a failed answer and tells the caller nothing.
pub trait Answers<Res> {
    /// Gives up a failed answer.
    type Discard: Future<Output = ()>;

    /// Gives up the failed `answer` while the next attempt waits for its time; what is not done by
    /// then is dropped. The place to read the little that is left of a body, so that its connection
    /// can be used again.
    fn discard(&self, answer: Res) -> Self::Discard;

    /// Writes on the `answer` that goes to the caller which attempt got it. Called after a retry
    /// only.
    fn stamp(&self, _answer: &mut Res, _attempt: &Attempt) {}
}

impl<Res> Answers<Res> for () {
    type Discard = Ready<()>;

    fn discard(&self, answer: Res) -> Ready<()> {
        drop(answer);
        ready(())
    }
}
