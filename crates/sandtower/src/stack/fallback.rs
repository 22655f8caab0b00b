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
use super::transport::Erased;
use crate::core::BoxError;

/// The layers of a stack below its fallback: what a [fallback](super::Builder::fallback) is put around.
#[derive(Clone, Debug)]
pub struct BelowFallback(Templated);

impl BelowFallback {
    pub(super) fn new(layers: Templated) -> Self {
        Self(layers)
    }
}

impl Service<Request<Full<Bytes>>> for BelowFallback {
    type Response = Response<LayersBody>;
    type Error = BoxError;
    type Future = BelowFallbackFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> BelowFallbackFuture {
        BelowFallbackFuture { inner: self.0.call(request) }
    }
}

pin_project! {
    /// The response of the layers below a fallback.
    #[must_use = "futures do nothing unless polled"]
    pub struct BelowFallbackFuture {
        #[pin]
        inner: <Templated as Service<Request<Full<Bytes>>>>::Future,
    }
}

impl Future for BelowFallbackFuture {
    type Output = Result<Response<LayersBody>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
    }
}

impl std::fmt::Debug for BelowFallbackFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BelowFallbackFuture").finish_non_exhaustive()
    }
}

/// A fallback layer whose type is not told: see [`Builder::fallback`](super::Builder::fallback).
#[derive(Clone)]
pub struct StackFallback(Arc<dyn Fn(BelowFallback) -> Erased<LayersBody> + Send + Sync>);

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

    pub(super) fn layer(&self, below: BelowFallback) -> Erased<LayersBody> {
        (self.0)(below)
    }
}

impl std::fmt::Debug for StackFallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StackFallback").finish_non_exhaustive()
    }
}
