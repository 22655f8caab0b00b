//! Calls a tower service.

use std::future::Future;

use tower_service::Service;

use crate::Arrival;

/// Calls `service` with what `request` creates from each arrival: for [`drive`](crate::drive).
///
/// Each call has its own clone, which is polled ready before it is called.
pub fn calls<S, Req>(
    service: S,
    mut request: impl FnMut(Arrival) -> Req,
) -> impl FnMut(Arrival) -> CallFuture<S, Req>
where
    S: Service<Req> + Clone,
{
    move |arrival| CallFuture::new(service.clone(), request(arrival))
}

pin_project_lite::pin_project! {
    /// The response of one call: readiness first, then the call.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct CallFuture<S: Service<Req>, Req> {
        service: S,
        request: Option<Req>,
        #[pin]
        response: Option<S::Future>,
    }
}

impl<S: Service<Req>, Req> CallFuture<S, Req> {
    fn new(service: S, request: Req) -> Self {
        Self { service, request: Some(request), response: None }
    }
}

impl<S: Service<Req>, Req> Future for CallFuture<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let mut this = self.project();
        if this.request.is_some() {
            std::task::ready!(this.service.poll_ready(cx))?;
            let response = this.request.take().map(|request| this.service.call(request));
            this.response.set(response);
        }
        match this.response.as_pin_mut() {
            Some(response) => response.poll(cx),
            // Its service failed to become ready, and that was reported.
            None => std::task::Poll::Pending,
        }
    }
}
