mod creation;
mod future;
mod kill;

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{BoxError, Spare, WhenReady};
use sandtower_e2b::{Creation, operation as op, recognise};
use tower_service::Service;

use crate::Pool;
use crate::below::Below;

pub use future::PooledFuture;

/// A service whose creations are served from a warm pool: created by a
/// [`PoolLayer`](crate::PoolLayer).
///
/// Always ready: an instance of the service below is made ready in the future of the call, so that a
/// hand-out holds nothing below. Dropping a future kills the sandbox that it was about to return.
#[derive(Debug)]
pub struct Pooled<S> {
    spare: Spare<S>,
    pool: Pool,
}

impl<S: Clone> Pooled<S> {
    pub(crate) fn new(spare: Spare<S>, pool: Pool) -> Self {
        Self { spare, pool }
    }

    /// The pool.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Starts to stock the pool now, in the current tokio runtime, and not with the first creation. `false`:
    /// there is no runtime.
    pub fn start<Q, B>(&self) -> bool
    where
        S: Service<Request<Q>, Response = Response<B>> + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        Q: From<Full<Bytes>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.pool.shared().start(|| Below::new::<S, Q, B>(self.spare.fresh()))
    }
}

impl<S: Clone> Clone for Pooled<S> {
    fn clone(&self) -> Self {
        Self { spare: self.spare.clone(), pool: self.pool.clone() }
    }
}

impl<S, Q, B> Service<Request<Q>> for Pooled<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    Q: From<Full<Bytes>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = PooledFuture<S, Request<Q>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let shared = self.pool.shared();
        if let Some(creation) = request.extensions().get::<Creation>() {
            self.start::<Q, B>();
            let creation = creation.clone();
            let call = creation::Call::new(Arc::clone(shared), self.spare.fresh());
            return PooledFuture::pooled(call.respond(creation, request));
        }
        let used = shared.may_reuse() && recognise(&request).0 == op::SANDBOX_KILL;
        match used.then(|| shared.used_by(&request)).flatten() {
            Some(used) => {
                let call = kill::Call::new(Arc::clone(shared), self.spare.fresh());
                PooledFuture::pooled(call.respond(used, request))
            }
            None => PooledFuture::passed(WhenReady::start(&mut self.spare, request)),
        }
    }
}
