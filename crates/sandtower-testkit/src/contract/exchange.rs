//! The requests and responses of a probe.

use std::{fmt, sync::Arc, time::Duration};

use tower_service::Service;

use super::Contract;
use crate::{BoxError, Mock};

/// The requests and responses that a [`Contract`] is probed with, created from numbers.
///
/// For layers that need other types than numbers, such as those for HTTP:
///
/// ```
/// use sandtower_testkit::Exchange;
/// use tower::ServiceExt;
///
/// Exchange::new(http::Request::new, http::Response::new)
///     .contract(
///         |inner| inner.map_request(|request: http::Request<u64>| request),
///         |response| response.into_body(),
///     )
///     .run();
/// ```
pub struct Exchange<Req, Res> {
    pub(super) request: Box<dyn Fn(u64) -> Req>,
    pub(super) response: Arc<dyn Fn(u64) -> Res + Send + Sync>,
    pub(super) returning: Option<Box<dyn Fn(Duration) -> Req>>,
}

impl Exchange<u64, u64> {
    pub(super) fn numbers() -> Self {
        Self::new(|number| number, |number| number)
    }
}

impl<Req: 'static, Res: 'static> Exchange<Req, Res> {
    /// Requests and responses from these functions.
    pub fn new(
        request: impl Fn(u64) -> Req + 'static,
        response: impl Fn(u64) -> Res + Send + Sync + 'static,
    ) -> Self {
        Self { request: Box::new(request), response: Arc::new(response), returning: None }
    }

    /// Sets the function for the request of an attempt that returns to the queue, of a call that arrived
    /// this long ago. [`Scenario::ReturningArrivals`](crate::Scenario::ReturningArrivals) needs it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sandtower_testkit::Exchange;
    ///
    /// /// A request with the age of its call.
    /// struct Request(Duration);
    ///
    /// Exchange::new(|_| Request(Duration::ZERO), |number| number)
    ///     .returning(Request)
    ///     .contract(|inner| inner, |response| response)
    ///     .run();
    /// ```
    #[must_use]
    pub fn returning(mut self, request: impl Fn(Duration) -> Req + 'static) -> Self {
        self.returning = Some(Box::new(request));
        self
    }

    /// The contract of the service from `build`; `read` gets the number out of the service's response.
    pub fn contract<S: Service<Req> + Clone + 'static>(
        self,
        build: impl Fn(Mock<Req, Res>) -> S + 'static,
        read: impl Fn(S::Response) -> u64 + 'static,
    ) -> Contract<Req, Res, S>
    where
        S::Error: Into<BoxError>,
    {
        Contract::new(self, Some(S::clone), build, read)
    }

    /// The same for a service that cannot be cloned.
    pub fn contract_uncloned<S: Service<Req> + 'static>(
        self,
        build: impl Fn(Mock<Req, Res>) -> S + 'static,
        read: impl Fn(S::Response) -> u64 + 'static,
    ) -> Contract<Req, Res, S>
    where
        S::Error: Into<BoxError>,
    {
        Contract::new(self, None, build, read)
    }
}

impl<Req, Res> fmt::Debug for Exchange<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}
