//! A tower service as what is called.

use std::future::Future;

use tower_service::Service;

use crate::Arrival;

/// Calls `service` with what `request` makes of each arrival: for [`drive`](crate::drive).
///
/// Each call has a clone of its own, which is polled ready before it is called.
pub fn calls<S, Req>(
    service: S,
    mut request: impl FnMut(Arrival) -> Req,
) -> impl FnMut(Arrival) -> Answer<S, Req>
where
    S: Service<Req> + Clone,
{
    move |arrival| Answer::new(service.clone(), request(arrival))
}

pin_project_lite::pin_project! {
    /// The answer of one call: readiness first, then the call.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Answer<S: Service<Req>, Req> {
        service: S,
        request: Option<Req>,
        #[pin]
        answer: Option<S::Future>,
    }
}

impl<S: Service<Req>, Req> Answer<S, Req> {
    fn new(service: S, request: Req) -> Self {
        Self { service, request: Some(request), answer: None }
    }
}

impl<S: Service<Req>, Req> Future for Answer<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let mut this = self.project();
        if this.request.is_some() {
            std::task::ready!(this.service.poll_ready(cx))?;
            let answer = this.request.take().map(|request| this.service.call(request));
            this.answer.set(answer);
        }
        match this.answer.as_pin_mut() {
            Some(answer) => answer.poll(cx),
            // Its service was not ready for good, and that has been told.
            None => std::task::Poll::Pending,
        }
    }
}
