use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header, response::Parts};
use sandtower_core::Verdict;

use crate::{Excerpt, Interpret, ReadEnd, grpc::GRPC_STATUS, verdict_of_grpc};

/// Observes the trailers of gRPC responses, so that breakers count calls that fail after their first
/// message: the hook of an [`InterpretLayer`](crate::InterpretLayer) below layers that use
/// [`GrpcClassify`](crate::GrpcClassify). It does not buffer the body.
///
/// ```
/// use sandtower_http::{GrpcInterpret, InterpretLayer};
///
/// let layer = InterpretLayer::new(GrpcInterpret);
/// # let _ = layer;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcInterpret;

impl Interpret for GrpcInterpret {
    type Memo = ();

    fn remember<B>(&self, _request: &Request<B>) {}

    fn reads(&self, (): &(), _head: &Parts) -> bool {
        false
    }

    fn read(&self, (): &(), _head: &mut Parts, _body: Excerpt<'_>) {}

    fn end(&self, (): &(), head: &Parts) -> Option<Box<dyn ReadEnd>> {
        let is_grpc = head
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        let goes_on = head.status == StatusCode::OK && !head.headers.contains_key(GRPC_STATUS);
        (is_grpc && goes_on).then(|| Box::new(Trailers(None)) as _)
    }
}

/// The verdict on the trailers.
struct Trailers(Option<Verdict>);

impl ReadEnd for Trailers {
    fn data(&mut self, _piece: &Bytes) {}

    fn trailers(&mut self, fields: &HeaderMap) {
        self.0 = verdict_of_grpc(fields);
    }

    fn verdict(self: Box<Self>) -> Option<Verdict> {
        self.0
    }
}
