//! What a user may know about requests and answers that this crate cannot.

use std::future::{Future, Pending, Ready, ready};

use sandtower_core::Attempt;

/// Looks what became of an attempt whose result is unknown, before it is tried again.
///
/// Asked only when something may have happened and the request is not safe to replay. Without such
/// a hook, `()`, the call ends there.
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
/// impl Reconcile<u64, &'static str> for ByNumber {
///     type Look = Ready<Found<&'static str>>;
///
///     fn look(&self, order: &u64, _failed: &Attempt) -> Option<Self::Look> {
///         Some(ready(if order % 2 == 0 { Found::Adopt("placed") } else { Found::Nothing }))
///     }
/// }
/// ```
pub trait Reconcile<Req, Res> {
    /// Looks.
    type Look: Future<Output = Found<Res>>;

    /// Begins to look what became of `request`; `None`: there is no way to find out.
    fn look(&self, request: &Req, failed: &Attempt) -> Option<Self::Look>;
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

impl<Req, Res> Reconcile<Req, Res> for () {
    type Look = Pending<Found<Res>>;

    fn look(&self, _request: &Req, _failed: &Attempt) -> Option<Self::Look> {
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
