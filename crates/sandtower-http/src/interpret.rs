use http::{Request, response::Parts};

use crate::ReadEnd;

/// Interprets responses whose outcome is in their body.
///
/// The hook of [`InterpretLayer`](crate::InterpretLayer). It sees a request before it is sent, then the
/// head of its response, and as much of the body as it requests. It puts the result into the extensions of
/// the response. A [`Verdict`](sandtower_core::Verdict) there is used by
/// [`HttpClassifier`](crate::HttpClassifier), and so by every layer above.
///
/// ```
/// use http::{Request, StatusCode, response::Parts};
/// use sandtower_core::Verdict;
/// use sandtower_http::{Excerpt, Interpret};
///
/// /// A service that sends 429 both for "slow down" and for "all slots are in use".
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
///         if body.bytes.starts_with(b"all slots are in use") {
///             head.extensions.insert(Verdict::exhausted());
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not interpret responses",
    label = "not an `Interpret`",
    note = "implement `Interpret` for a type of yours; for gRPC there is `GrpcInterpret`"
)]
pub trait Interpret {
    /// What is kept of a request until its response arrives. Created for every request: avoid
    /// allocations.
    type Memo;

    /// Called before the request is sent.
    fn remember<B>(&self, request: &Request<B>) -> Self::Memo;

    /// Whether to read the body of a response with this head. All other responses pass unchanged. Default:
    /// those that are not a success, which is 4xx, 5xx and beyond.
    fn reads(&self, _memo: &Self::Memo, head: &Parts) -> bool {
        head.status.as_u16() >= 400
    }

    /// Interprets a response whose body was read.
    ///
    /// The caller still gets the whole body, so the hook must not change `content-length` or
    /// `content-encoding` in `head`.
    fn read(&self, memo: &Self::Memo, head: &mut Parts, body: Excerpt<'_>);

    /// An observer for the body of a response whose outcome is known only at its end. Default: none. Called
    /// for responses whose body is not [read](Interpret::reads) here.
    ///
    /// The layers above learn its verdict through an [`EndOfStream`](sandtower_core::EndOfStream) in the
    /// response's extensions: a breaker counts it.
    fn end(&self, _memo: &Self::Memo, _head: &Parts) -> Option<Box<dyn ReadEnd>> {
        None
    }
}

/// The part of a body that was read.
#[derive(Clone, Copy)]
pub struct Excerpt<'a> {
    /// Its first bytes, as received: a `content-encoding` is not decoded.
    pub bytes: &'a [u8],
    /// Whether this is the whole body. If not, the cap was reached or the body broke off.
    pub complete: bool,
}

/// Bodies may contain secrets, so only the length is shown.
impl std::fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Excerpt")
            .field("len", &self.bytes.len())
            .field("complete", &self.complete)
            .finish()
    }
}
