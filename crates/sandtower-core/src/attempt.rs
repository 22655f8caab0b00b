use crate::{Outcome, Tick};

/// Which attempt of its call a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When the call arrived: the same for all its attempts.
    pub arrived: Tick,
    /// How the attempt before ended; `None` for the first.
    pub last: Option<Outcome>,
}

impl Attempt {
    /// The first attempt of a call that arrived at `arrived`.
    pub const fn first(arrived: Tick) -> Self {
        Self { number: 1, arrived, last: None }
    }

    /// The attempt after this one, which ended in `outcome`.
    #[must_use]
    pub const fn next(self, outcome: Outcome) -> Self {
        Self { number: self.number.saturating_add(1), arrived: self.arrived, last: Some(outcome) }
    }
}

/// How a request is sent again. A local strategy type implements it, so that it works for requests
/// of any crate.
pub trait Resend<Req> {
    /// A second request like the first; `None` if it cannot be sent twice: it is then sent once,
    /// never rejected. Asked before the first is sent, and again of that copy when another attempt is
    /// decided on.
    fn copy(&self, request: &Req) -> Option<Req>;

    /// Writes on `request` which attempt it is, for layers below and for the service. Called on
    /// every attempt after the first.
    fn stamp(&self, _request: &mut Req, _attempt: &Attempt) {}
}

/// Sends copies made by `Clone`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneRequest;

impl<Req: Clone> Resend<Req> for CloneRequest {
    fn copy(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

/// Sends every request once.
#[derive(Clone, Copy, Debug, Default)]
pub struct SendOnce;

impl<Req> Resend<Req> for SendOnce {
    fn copy(&self, _request: &Req) -> Option<Req> {
        None
    }
}

/// How a request carries when its call arrived and when its caller stops caring, so that the
/// classifiers of layers below can [tell it](crate::RequestInfo).
pub trait SetDeadline<Req: ?Sized> {
    /// Writes both on `request`.
    fn set_deadline(&self, request: &mut Req, arrived: Tick, deadline: Tick);
}

/// Requests that carry no deadline.
impl<Req: ?Sized> SetDeadline<Req> for () {
    fn set_deadline(&self, _request: &mut Req, _arrived: Tick, _deadline: Tick) {}
}
