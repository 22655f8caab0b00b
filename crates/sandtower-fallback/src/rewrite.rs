use sandtower_core::BoxError;
use tower_service::Service;

use crate::alternative::{Alternative, MakeAlternative, Sending};
use crate::failed::Failed;
use crate::pristine::Pristine;

/// Turns a failed request into another one.
///
/// Implemented for functions of the request's copy and the failure, for requests that are [`Clone`].
///
/// ```
/// use sandtower_fallback::{Failed, Rewrite};
///
/// let base = |template: String, _: &Failed<'_, u32>| (template != "base").then(|| "base".into());
/// assert_eq!(Rewrite::<_, u32>::keep(&base, &String::from("mine")), Some(String::from("mine")));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not rewrite a `{Req}` whose response is a `{Res}`",
    label = "not a `Rewrite<{Req}, {Res}>`",
    note = "a closure is one if the request is `Clone` and its arguments have types: \
            `|request: {Req}, failed: &Failed<'_, {Res}>| -> Option<{Req}>`"
)]
pub trait Rewrite<Req, Res> {
    /// What is kept of a request while it is in flight.
    type Kept;

    /// Keeps what is needed of `request`; `None`: it is never rewritten. Called for every request.
    fn keep(&self, request: &Req) -> Option<Self::Kept>;

    /// The other request; `None`: the call ends with its failure.
    fn rewrite(&self, kept: Self::Kept, failed: &Failed<'_, Res>) -> Option<Req>;
}

impl<F, Req, Res> Rewrite<Req, Res> for F
where
    F: Fn(Req, &Failed<'_, Res>) -> Option<Req>,
    Req: Clone,
{
    type Kept = Req;

    fn keep(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }

    fn rewrite(&self, kept: Req, failed: &Failed<'_, Res>) -> Option<Req> {
        self(kept, failed)
    }
}

/// Makes alternatives that send another request to the same service: see
/// [`FallbackLayer::rewrite`](crate::FallbackLayer::rewrite).
#[derive(Clone, Debug)]
pub struct Rewritten<W> {
    pub(crate) rewrite: W,
}

impl<S: Clone, W: Clone> MakeAlternative<S> for Rewritten<W> {
    type Alternative = RewriteAlternative<S, W>;

    fn make(&self, first: &S) -> Self::Alternative {
        RewriteAlternative { pristine: Pristine::new(first.clone()), rewrite: self.rewrite.clone() }
    }
}

/// Sends another request to the same service.
#[derive(Debug)]
pub struct RewriteAlternative<S, W> {
    pristine: Pristine<S>,
    rewrite: W,
}

impl<S, W, Req> Alternative<Req, S::Response> for RewriteAlternative<S, W>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    W: Rewrite<Req, S::Response>,
{
    type Kept = W::Kept;
    type Future = Sending<S, Req>;

    fn keep(&self, request: &Req) -> Option<W::Kept> {
        self.rewrite.keep(request)
    }

    fn begin(&self, kept: W::Kept, failed: &Failed<'_, S::Response>) -> Option<Self::Future> {
        let request = self.rewrite.rewrite(kept, failed)?;
        Some(Sending::new(self.pristine.fresh(), request))
    }
}
