use http::{Request, response::Parts};

use crate::ReadEnd;

/// Says what answers mean that say so in their body only.
///
/// The hook of [`InterpretLayer`](crate::InterpretLayer). It looks at a request before it is sent,
/// then at the head of its answer, and at what was read of the body if it wants to; what it finds it
/// inserts into the answer's extensions. A [`Verdict`](sandtower_core::Verdict) there is believed by
/// [`HttpClassifier`](crate::HttpClassifier), and so by every layer above.
///
/// ```
/// use http::{Request, StatusCode, response::Parts};
/// use sandtower_core::Verdict;
/// use sandtower_http::{Excerpt, Interpret};
///
/// /// A service that answers 429 both for "slow down" and for "all slots are taken".
/// #[derive(Clone, Copy)]
/// struct TwoKinds;
///
/// impl Interpret for TwoKinds {
///     type Memo = ();
///
///     fn remember<B>(&self, _request: &Request<B>) {}
///
///     fn reads(&self, _memo: &(), head: &Parts) -> bool {
///         head.status == StatusCode::TOO_MANY_REQUESTS
///     }
///
///     fn read(&self, _memo: &(), head: &mut Parts, body: Excerpt<'_>) {
///         if body.bytes.starts_with(b"all slots are taken") {
///             head.extensions.insert(Verdict::exhausted());
///         }
///     }
/// }
/// ```
pub trait Interpret {
    /// What of a request is remembered until its answer is there. Made for every request: keep it
    /// free of allocation.
    type Memo;

    /// Looks at a request before it is sent.
    fn remember<B>(&self, request: &Request<B>) -> Self::Memo;

    /// Whether the body of an answer with this head is to be read. Everything else passes untouched.
    /// By default answers that are no success are: 4xx, 5xx and beyond.
    fn reads(&self, _memo: &Self::Memo, head: &Parts) -> bool {
        head.status.as_u16() >= 400
    }

    /// Says what an answer means whose body was read.
    ///
    /// The reader of the answer still gets the whole body: a hook that changes `content-length` or
    /// `content-encoding` in `head` would lie to it.
    fn read(&self, memo: &Self::Memo, head: &mut Parts, body: Excerpt<'_>);

    /// What is to read along with the body of an answer that says only in its end how it went. By
    /// default nothing is. Asked of answers whose body is not [read](Interpret::reads) here.
    ///
    /// What it finds is heard by the judges of the layers above, through an
    /// [`EndOfStream`](sandtower_core::EndOfStream) among the answer's extensions: a breaker counts it.
    fn end(&self, _memo: &Self::Memo, _head: &Parts) -> Option<Box<dyn ReadEnd>> {
        None
    }
}

/// What was read of a body.
#[derive(Clone, Copy)]
pub struct Excerpt<'a> {
    /// Its beginning, as it came: a `content-encoding` is not undone.
    pub bytes: &'a [u8],
    /// Whether that is all of it. If not, the cap was reached or the body broke off.
    pub complete: bool,
}

/// Bodies may hold secrets: only the length is shown.
impl std::fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Excerpt")
            .field("len", &self.bytes.len())
            .field("complete", &self.complete)
            .finish()
    }
}
