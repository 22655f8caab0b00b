//! The service below a pool, whatever its type.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use sandtower_core::{BoxError, Priority};
use tower_service::Service;

use crate::within::send;

type Responding = Pin<Box<dyn Future<Output = Result<Response<BelowBody>, BoxError>> + Send>>;

/// The body of a response from below.
pub type BelowBody = UnsyncBoxBody<Bytes, BoxError>;

/// The layers below a pool as one service, for requests of the pool's own. Cheap to clone.
#[derive(Clone)]
pub struct Below {
    send: Arc<dyn Send_>,
    priority: Option<Priority>,
}

trait Send_: Send + Sync {
    fn send(&self, request: Request<Full<Bytes>>) -> Responding;
}

struct Via<S, Q>(S, std::marker::PhantomData<fn() -> Q>);

impl<S, Q, B> Send_ for Via<S, Q>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    Q: From<Full<Bytes>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn send(&self, request: Request<Full<Bytes>>) -> Responding {
        let sent = send(self.0.clone(), request.map(Q::from));
        Box::pin(async move {
            let response = sent.await?;
            Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
        })
    }
}

impl Below {
    pub(crate) fn new<S, Q, B>(service: S) -> Self
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        Q: From<Full<Bytes>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self { send: Arc::new(Via(service, std::marker::PhantomData)), priority: None }
    }

    /// The same, whose requests have this priority unless they have one.
    pub(crate) fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }
}

impl Service<Request<Full<Bytes>>> for Below {
    type Response = Response<BelowBody>;
    type Error = BoxError;
    type Future = Responding;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> Responding {
        if let Some(priority) = self.priority
            && request.extensions().get::<Priority>().is_none()
        {
            request.extensions_mut().insert(priority);
        }
        self.send.send(request)
    }
}

impl std::fmt::Debug for Below {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Below").finish_non_exhaustive()
    }
}
