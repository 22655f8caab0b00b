use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use tower_service::Service;

/// An HTTP service that the client can send its requests by: a connection pool, or a stack of layers
/// over one.
///
/// Not to be implemented: every [`Service`] of such requests is one, if it can be cloned, its error
/// can be boxed, and the bodies of its responses are of [`Bytes`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an HTTP service that an E2B client can use",
    label = "expected a `Service<Request<Full<Bytes>>, Response = Response<B>>` that is `Clone`",
    note = "its error must be `Into<BoxError>`, and `B` a `Body<Data = Bytes>` whose error is too"
)]
pub trait HttpService:
    Service<
        Request<Full<Bytes>>,
        Response = Response<<Self as HttpService>::Body>,
        Error: Into<BoxError>,
    > + Clone
{
    /// The body of its responses.
    type Body: Body<Data = Bytes, Error: Into<BoxError>>;
}

impl<S, B> HttpService for S
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>> + Clone,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Body = B;
}
