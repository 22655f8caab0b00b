use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::SendBody;
use super::assembly::{Layers, LayersBody};
use crate::admission::{Progress, Watch};
use crate::core::BoxError;

/// Finds the [`Progress`] of a call in the extensions of its requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct WatchExtension;

impl<B> Watch<Request<B>> for WatchExtension {
    fn progress(&self, request: &Request<B>) -> Option<Progress> {
        request.extensions().get::<Progress>().cloned()
    }
}

/// An HTTP client within the stack: created by a [`Stack`](super::Stack), which is a layer.
///
/// One type, whatever the client is, for each type of request body. All that one stack makes share its
/// limits, its breakers and its queues.
pub struct StackService<Q: SendBody = Full<Bytes>> {
    layers: Layers<Q>,
    progress: Option<Progress>,
}

impl<Q: SendBody> StackService<Q> {
    pub(super) fn new(layers: Layers<Q>) -> Self {
        Self { layers, progress: None }
    }

    /// The same service, whose calls report their waiting to `progress`.
    #[must_use]
    pub fn watched(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }
}

impl<Q: SendBody> Clone for StackService<Q> {
    fn clone(&self) -> Self {
        Self { layers: self.layers.clone(), progress: self.progress.clone() }
    }
}

impl<Q: SendBody> std::fmt::Debug for StackService<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StackService").finish_non_exhaustive()
    }
}

impl<Q: SendBody> Service<Request<Q>> for StackService<Q> {
    type Response = Response<LayersBody>;
    type Error = BoxError;
    type Future = StackFuture<Q>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.layers.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> StackFuture<Q> {
        if let Some(progress) = &self.progress {
            request.extensions_mut().insert(progress.clone());
        }
        StackFuture { inner: self.layers.call(request) }
    }
}

pin_project! {
    /// The response of a [`StackService`], or its error.
    #[must_use = "futures do nothing unless polled"]
    pub struct StackFuture<Q: SendBody = Full<Bytes>> {
        #[pin]
        inner: <Layers<Q> as Service<Request<Q>>>::Future,
    }
}

impl<Q: SendBody> Future for StackFuture<Q> {
    type Output = Result<Response<LayersBody>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
    }
}

impl<Q: SendBody> std::fmt::Debug for StackFuture<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StackFuture").finish_non_exhaustive()
    }
}
