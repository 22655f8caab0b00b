use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::SendBody;
use super::assembly::{Layers, LayersBody};
use crate::admission::{Progress, Watch};
use crate::core::{BoxError, Patience, Priority, RequestInfo, Tenant};

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
    caller: Caller,
}

/// The caller on whose behalf calls are sent, if it was set.
#[derive(Clone, Copy, Debug, Default)]
struct Caller {
    tenant: Option<Tenant>,
    priority: Option<Priority>,
    patience: Option<Patience>,
}

impl Caller {
    /// Writes it on a request, and into its request info if it was classified before.
    fn put<B>(self, request: &mut Request<B>) {
        let extensions = request.extensions_mut();
        let info = extensions.get::<RequestInfo>().copied();
        if let Some(mut info) = info {
            info.tenant = self.tenant.unwrap_or(info.tenant);
            info.priority = self.priority.unwrap_or(info.priority);
            info.patience = self.patience.or(info.patience);
            extensions.insert(info);
        }
        if let Some(tenant) = self.tenant {
            extensions.insert(tenant);
        }
        if let Some(priority) = self.priority {
            extensions.insert(priority);
        }
        if let Some(patience) = self.patience {
            extensions.insert(patience);
        }
    }

    fn is_set(self) -> bool {
        self.tenant.is_some() || self.priority.is_some() || self.patience.is_some()
    }
}

impl<Q: SendBody> StackService<Q> {
    pub(super) fn new(layers: Layers<Q>) -> Self {
        Self { layers, progress: None, caller: Caller::default() }
    }

    /// The same service, whose calls report their waiting to `progress`.
    #[must_use]
    pub fn watched(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// The same service, whose calls are sent on behalf of `tenant`.
    #[must_use]
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.caller.tenant = Some(tenant);
        self
    }

    /// The same service, whose calls have this priority.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.caller.priority = Some(priority);
        self
    }

    /// The same service, whose calls do this while E2B is down.
    #[must_use]
    pub fn patience(mut self, patience: Patience) -> Self {
        self.caller.patience = Some(patience);
        self
    }
}

impl<Q: SendBody> Clone for StackService<Q> {
    fn clone(&self) -> Self {
        let (progress, caller) = (self.progress.clone(), self.caller);
        Self { layers: self.layers.clone(), progress, caller }
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
        if self.caller.is_set() {
            self.caller.put(&mut request);
        }
        let shown = ShownCheck(request.extensions().get::<Progress>().cloned());
        StackFuture { inner: self.layers.call(request), shown }
    }
}

pin_project! {
    /// The response of a [`StackService`], or its error.
    #[must_use = "futures do nothing unless polled"]
    pub struct StackFuture<Q: SendBody = Full<Bytes>> {
        #[pin]
        inner: <Layers<Q> as Service<Request<Q>>>::Future,
        shown: ShownCheck,
    }
}

/// A check that may be shown in a call's progress: over with the call.
struct ShownCheck(Option<Progress>);

impl Drop for ShownCheck {
    fn drop(&mut self) {
        if let Some(progress) = &self.0 {
            progress.checked();
        }
    }
}

impl<Q: SendBody> Future for StackFuture<Q> {
    type Output = Result<Response<LayersBody>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        // Before the caller sees the response: it may look at once.
        drop(ShownCheck(this.shown.0.take()));
        Poll::Ready(result)
    }
}

impl<Q: SendBody> std::fmt::Debug for StackFuture<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StackFuture").finish_non_exhaustive()
    }
}
