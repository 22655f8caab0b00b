use std::sync::Arc;
use std::task::{Context, Poll};

use sandtower_core::{BoxError, ByResult, Classify, ClassifyResponse, CloneRequest, Resend};
use tower_service::Service;

use super::config::{FailoverConfig, FailoverConfigError};
use super::future::FailoverFuture;
use super::handle::FailoverHandle;
use crate::alternative::Spare;

/// Services of one kind, such as regions, the preferred one first. Remembers which one works: see the
/// [crate](crate).
///
/// Always ready: which service a call needs is known only then. It is made ready in the future of the
/// call, which holds nothing else meanwhile. In the common case, in which the first service is ready,
/// nothing is cloned.
///
/// What belongs to one place, such as a request about a thing that was made there, must not come
/// through here.
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
/// let mut regions = Failover::new(FailoverConfig::new("regions"), [("west", west), ("east", east)])?
///     .classify(ByResult::new(RequestInfo::default().replay(Replay::Safe)));
/// assert_eq!(regions.ready().await?.call(()).await?, "from the east");
/// assert_eq!(regions.handle().current(), "east");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Failover<S, C = ByResult, R = CloneRequest> {
    first: S,
    classify: C,
    shared: Arc<Shared<S, R>>,
}

#[derive(Debug)]
pub(super) struct Shared<S, R> {
    pub(super) handle: FailoverHandle,
    pub(super) services: Box<[Spare<S>]>,
    pub(super) resend: R,
}

impl<S: Clone> Failover<S> {
    /// The services of `places`, each with its name for logs, the preferred one first.
    ///
    /// All requests are one operation, and every error is a failure, until
    /// [`classify`](Self::classify) knows better; requests are cloned until
    /// [`resend`](Self::resend) does.
    ///
    /// # Errors
    ///
    /// There are no places, or the config makes no sense; the error says what would.
    pub fn new<N: Into<Arc<str>>>(
        config: FailoverConfig,
        places: impl IntoIterator<Item = (N, S)>,
    ) -> Result<Self, FailoverConfigError> {
        let (names, services): (Vec<Arc<str>>, Vec<S>) =
            places.into_iter().map(|(name, service)| (name.into(), service)).unzip();
        config.check(names.len())?;
        let Some(first) = services.first().cloned() else {
            return Err(FailoverConfigError::NoPlaces);
        };
        let handle = FailoverHandle::new(config, names.into_iter());
        let services = services.into_iter().map(Spare::new).collect();
        let shared = Shared { handle, services, resend: CloneRequest };
        Ok(Self { first, classify: ByResult::default(), shared: Arc::new(shared) })
    }
}

impl<S: Clone, C, R> Failover<S, C, R> {
    /// Judges answers with `classify`, which also tells whether a request is safe to replay and when
    /// its caller stops caring.
    pub fn classify<D>(self, classify: D) -> Failover<S, D, R> {
        Failover { first: self.first, classify, shared: self.shared }
    }

    /// Copies requests with `resend`.
    pub fn resend<P>(self, resend: P) -> Failover<S, C, P> {
        let services = self.shared.services.iter().map(|spare| Spare::new(spare.service()));
        let handle = self.shared.handle.clone();
        let shared = Shared { handle, services: services.collect(), resend };
        Failover { first: self.first, classify: self.classify, shared: Arc::new(shared) }
    }

    /// Reads and steers it, and all its clones.
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
        let judge = self.classify.classify(&request);
        FailoverFuture::new(&mut self.first, request, judge, Arc::clone(&self.shared))
    }
}

impl<S: Clone, C: Clone, R> Clone for Failover<S, C, R> {
    fn clone(&self) -> Self {
        let (first, classify) = (self.first.clone(), self.classify.clone());
        Self { first, classify, shared: Arc::clone(&self.shared) }
    }
}
