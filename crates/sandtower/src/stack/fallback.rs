use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::assembly::{LayersBody, Templated};
use super::transport::{Erased, SendBody};
use crate::core::BoxError;

/// The layers of a stack below its fallback: what a [fallback](super::Builder::fallback) is put around.
pub struct BelowFallback<Q: SendBody = Full<Bytes>>(Templated<Q>);

impl<Q: SendBody> BelowFallback<Q> {
    pub(super) fn new(layers: Templated<Q>) -> Self {
        Self(layers)
    }
}

impl<Q: SendBody> Clone for BelowFallback<Q> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Q: SendBody> std::fmt::Debug for BelowFallback<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BelowFallback").finish_non_exhaustive()
    }
}

impl<Q: SendBody> Service<Request<Q>> for BelowFallback<Q> {
    type Response = Response<LayersBody>;
    type Error = BoxError;
    type Future = BelowFallbackFuture<Q>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> BelowFallbackFuture<Q> {
        BelowFallbackFuture { inner: self.0.call(request) }
    }
}

pin_project! {
    /// The response of the layers below a fallback.
    #[must_use = "futures do nothing unless polled"]
    pub struct BelowFallbackFuture<Q: SendBody = Full<Bytes>> {
        #[pin]
        inner: <Templated<Q> as Service<Request<Q>>>::Future,
    }
}

impl<Q: SendBody> Future for BelowFallbackFuture<Q> {
    type Output = Result<Response<LayersBody>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
    }
}

impl<Q: SendBody> std::fmt::Debug for BelowFallbackFuture<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BelowFallbackFuture").finish_non_exhaustive()
    }
}

/// A type-erased fallback layer: see [`Builder::fallback`](super::Builder::fallback).
#[derive(Clone)]
pub struct StackFallback(
    Arc<dyn Fn(BelowFallback) -> Erased<Full<Bytes>, LayersBody> + Send + Sync>,
);

impl StackFallback {
    pub(super) fn new<L>(layer: L) -> Self
    where
        L: Layer<BelowFallback> + Send + Sync + 'static,
        L::Service: Service<Request<Full<Bytes>>, Response = Response<LayersBody>>
            + Clone
            + Send
            + Sync
            + 'static,
        <L::Service as Service<Request<Full<Bytes>>>>::Error: Into<BoxError>,
        <L::Service as Service<Request<Full<Bytes>>>>::Future: Send,
    {
        Self(Arc::new(move |below| Erased::new(layer.layer(below))))
    }

    pub(super) fn layer(&self, below: BelowFallback) -> Erased<Full<Bytes>, LayersBody> {
        (self.0)(below)
    }
}

impl std::fmt::Debug for StackFallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StackFallback").finish_non_exhaustive()
    }
}
