use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::core::BoxError;

/// A layer that may have been dropped from its stack. Which it is shows only when the stack is built,
/// from a file perhaps; the type stays the same.
///
/// It costs a look at a word, and no allocation.
#[derive(Clone, Debug)]
pub struct Maybe<L> {
    layer: Option<L>,
}

impl<L> Maybe<L> {
    /// The layer; `None`: it was dropped.
    pub fn new(layer: Option<L>) -> Self {
        Self { layer }
    }

    /// The layer, unless it was dropped.
    pub fn as_ref(&self) -> Option<&L> {
        self.layer.as_ref()
    }
}

impl<S, L: Layer<S>> Layer<S> for Maybe<L> {
    type Service = MaybeLayered<L::Service, S>;

    fn layer(&self, inner: S) -> Self::Service {
        match &self.layer {
            Some(layer) => MaybeLayered::Layered(layer.layer(inner)),
            None => MaybeLayered::Plain(inner),
        }
    }
}

/// A service with or without a layer around it: made by a [`Maybe`].
#[derive(Clone, Debug)]
pub enum MaybeLayered<A, S> {
    /// With the layer.
    Layered(A),
    /// Without it.
    Plain(S),
}

impl<A, S, Req> Service<Req> for MaybeLayered<A, S>
where
    A: Service<Req, Response = S::Response>,
    A::Error: Into<BoxError>,
    S: Service<Req>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = MaybeFuture<A::Future, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Layered(service) => service.poll_ready(cx).map_err(Into::into),
            Self::Plain(service) => service.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let state = match self {
            Self::Layered(service) => State::Layered { future: service.call(request) },
            Self::Plain(service) => State::Plain { future: service.call(request) },
        };
        MaybeFuture { state }
    }
}

pin_project! {
    /// The answer of a [`MaybeLayered`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct MaybeFuture<A, F> {
        #[pin]
        state: State<A, F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProj]
    enum State<A, F> {
        Layered { #[pin] future: A },
        Plain { #[pin] future: F },
    }
}

impl<A, F, Res, E, G> Future for MaybeFuture<A, F>
where
    A: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    F: Future<Output = Result<Res, G>>,
    G: Into<BoxError>,
{
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Layered { future } => future.poll(cx).map_err(Into::into),
            StateProj::Plain { future } => future.poll(cx).map_err(Into::into),
        }
    }
}
