use std::sync::Arc;
use std::task::{Context, Poll};

use sandtower_core::{BoxError, Classify, ClassifyResponse, CloneRequest, Resend, Spare};
use tower_service::Service;

use super::config::{FailoverConfig, FailoverConfigError};
use super::future::FailoverFuture;
use super::handle::FailoverHandle;
use crate::pristine::Pristine;

/// Equivalent services, such as regions, the preferred one first. Remembers which one works: see the
/// [crate](crate).
///
/// Always ready: which service a call needs is known only then. The service becomes ready in the future of
/// the call, which holds nothing else meanwhile. In the common case, where the first service is ready,
/// nothing is cloned. An instance that fails to become ready is dropped.
///
/// Do not use it for requests that belong to one place, such as those about a sandbox that was created
/// there.
///
/// # Events
///
/// With the target `sandtower::fallback`: a call is sent to another place (`INFO`, with `operation`,
/// `outcome`, `from` and `to`), and calls begin at another place from now on (`WARN`, with `name`,
/// `from` and `to`).
///
/// ```
/// use sandtower_fallback::{Failover, FailoverConfig};
/// use sandtower_core::{RequestInfo, ByResult, Replay};
/// use tower::{Service, ServiceExt, service_fn, util::BoxCloneService};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), sandtower_core::BoxError> {
/// let west = BoxCloneService::new(service_fn(|_: ()| async { Err("connection refused") }));
/// let east = BoxCloneService::new(service_fn(|_: ()| async { Ok("from the east") }));
///
/// let classify = ByResult::new(RequestInfo::default().replay(Replay::Safe));
/// let regions = [("west", west), ("east", east)];
/// let mut regions = Failover::new(FailoverConfig::new("regions"), regions, classify)?;
/// assert_eq!(regions.ready().await?.call(()).await?, "from the east");
/// assert_eq!(regions.handle().current(), "east");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Failover<S, C, R = CloneRequest> {
    first: Spare<S>,
    classify: C,
    shared: Arc<Shared<S, R>>,
}

#[derive(Debug)]
pub(super) struct Shared<S, R> {
    pub(super) handle: FailoverHandle,
    pub(super) services: Box<[Pristine<S>]>,
    pub(super) resend: R,
}

impl<S: Clone, C> Failover<S, C> {
    /// The services of `places`, each with its name for logs, the preferred one first.
    ///
    /// `classify` says what responses mean, whether a request is safe to replay, and its deadline. Requests
    /// are cloned; see [`resend`](Self::resend).
    ///
    /// # Errors
    ///
    /// There are no places, or the config is invalid; the error says what would be valid.
    pub fn new<N: Into<Arc<str>>>(
        config: FailoverConfig,
        places: impl IntoIterator<Item = (N, S)>,
        classify: C,
    ) -> Result<Self, FailoverConfigError> {
        let (names, services): (Vec<Arc<str>>, Vec<S>) =
            places.into_iter().map(|(name, service)| (name.into(), service)).unzip();
        config.check(names.len())?;
        let Some(first) = services.first().cloned() else {
            return Err(FailoverConfigError::NoPlaces);
        };
        let handle = FailoverHandle::new(config, names.into_iter());
        let services = services.into_iter().map(Pristine::new).collect();
        let shared = Shared { handle, services, resend: CloneRequest };
        Ok(Self { first: Spare::new(first), classify, shared: Arc::new(shared) })
    }
}

impl<S: Clone, C, R> Failover<S, C, R> {
    /// Copies requests with `resend`.
    pub fn resend<P>(self, resend: P) -> Failover<S, C, P> {
        let services = self.shared.services.iter().map(|pristine| Pristine::new(pristine.fresh()));
        let handle = self.shared.handle.clone();
        let shared = Shared { handle, services: services.collect(), resend };
        Failover { first: self.first, classify: self.classify, shared: Arc::new(shared) }
    }

    /// Reads and controls it and all its clones.
    pub fn handle(&self) -> &FailoverHandle {
        &self.shared.handle
    }
}

impl<S, C, R, Req> Service<Req> for Failover<S, C, R>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    C: Classify<Req>,
    C::Classifier: ClassifyResponse<S::Response>,
    R: Resend<Req>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = FailoverFuture<S, Req, C::Classifier, R>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let classifier = self.classify.classify(&request);
        FailoverFuture::new(&mut self.first, request, classifier, Arc::clone(&self.shared))
    }
}

impl<S: Clone, C: Clone, R> Clone for Failover<S, C, R> {
    fn clone(&self) -> Self {
        let (first, classify) = (self.first.clone(), self.classify.clone());
        Self { first, classify, shared: Arc::clone(&self.shared) }
    }
}
