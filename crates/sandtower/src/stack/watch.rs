use std::task::{Context, Poll};

use tower_service::Service;

use crate::admission::{Progress, Watch};

/// Finds the [`Progress`] of a call in the extensions of its requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct WatchExtension;

impl<B> Watch<::http::Request<B>> for WatchExtension {
    fn progress(&self, request: &::http::Request<B>) -> Option<Progress> {
        request.extensions().get::<Progress>().cloned()
    }
}

/// Sends requests that carry a [`Progress`]: see [`E2b::watched`](crate::E2b::watched).
#[derive(Clone, Debug)]
pub struct Watched<S> {
    service: S,
    progress: Progress,
}

impl<S> Watched<S> {
    /// All requests by way of `service` show where they are in `progress`.
    pub fn new(service: S, progress: Progress) -> Self {
        Self { service, progress }
    }
}

impl<S, B> Service<::http::Request<B>> for Watched<S>
where
    S: Service<::http::Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: ::http::Request<B>) -> S::Future {
        request.extensions_mut().insert(self.progress.clone());
        self.service.call(request)
    }
}
