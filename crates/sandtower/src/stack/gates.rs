use std::sync::Weak;

use crate::admission::Quota;
use crate::circuit_breaker::CircuitBreaker;
use crate::core::{Completion, Deferred, Gate, No, Now, RequestInfo, Subscriber, Verdict};
use crate::e2b::operation::SANDBOXES;
use crate::rate_limit::RateLimit;

/// The gates of a stack's admission control. [Disabled](super::Builder::disable) ones are missing. Gates
/// that are cheap to release, and that hold calls longest, come first.
#[derive(Clone, Debug)]
pub struct Gates {
    pub(super) all: Pairs,
}

pub(super) type Pairs = (Option<Quota>, (Option<RateLimit>, Option<Breakers>));

/// The permits of the [`Gates`] for one attempt.
#[derive(Debug)]
#[must_use = "a permit is given back by recording what became of the attempt"]
pub struct Permits(<Pairs as Gate>::Permit);

impl Gate for Gates {
    type Permit = Permits;

    #[inline]
    fn check(&self, request: Option<&RequestInfo>, now: &Now) -> Option<No> {
        self.all.check(request, now)
    }

    #[inline]
    fn try_acquire(
        &self,
        request: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<Permits, No> {
        self.all.try_acquire(request, now, later).map(Permits)
    }

    #[inline]
    fn record(
        &self,
        request: &RequestInfo,
        permit: Permits,
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<Permits> {
        self.all.record(request, permit.0, done, later).map(Permits)
    }

    fn not_ready(&self, verdict: &Verdict, now: &Now, later: &mut Deferred) {
        self.all.not_ready(verdict, now, later);
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.all.subscribe(subscriber);
    }
}

/// A circuit breaker for each half of E2B, the control plane and the data plane. They fail independently,
/// and while one is down the other stays usable: running sandboxes work when none can be created.
#[derive(Clone, Debug)]
pub(super) struct Breakers {
    pub(super) control_plane: CircuitBreaker,
    pub(super) data_plane: CircuitBreaker,
}

impl Breakers {
    #[inline]
    fn of(&self, info: &RequestInfo) -> &CircuitBreaker {
        if info.scope == SANDBOXES { &self.data_plane } else { &self.control_plane }
    }
}

impl Gate for Breakers {
    type Permit = <CircuitBreaker as Gate>::Permit;

    #[inline]
    fn check(&self, request: Option<&RequestInfo>, now: &Now) -> Option<No> {
        match request {
            Some(info) => self.of(info).check(request, now),
            // Every request is rejected only if both breakers reject it.
            None => {
                let no = self.control_plane.check(None, now)?;
                self.data_plane.check(None, now).map(|_| no)
            }
        }
    }

    #[inline]
    fn try_acquire(
        &self,
        info: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<Self::Permit, No> {
        self.of(info).try_acquire(info, now, later)
    }

    #[inline]
    fn record(
        &self,
        info: &RequestInfo,
        permit: Self::Permit,
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<Self::Permit> {
        self.of(info).record(info, permit, done, later)
    }

    fn not_ready(&self, verdict: &Verdict, now: &Now, later: &mut Deferred) {
        self.control_plane.not_ready(verdict, now, later);
        self.data_plane.not_ready(verdict, now, later);
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.control_plane.subscribe(subscriber.clone());
        self.data_plane.subscribe(subscriber);
    }
}
