//! Gates made of gates: none, one that may be missing, an `Arc` of one, and several of which all or
//! none are acquired.

use std::sync::{Arc, Weak};

use crate::{Completion, Deferred, Gate, No, Now, RequestInfo, Stage, Subscriber, Verdict};

/// No gate: always open.
impl Gate for () {
    type Permit = ();

    #[inline]
    fn check(&self, _request: Option<&RequestInfo>, _now: &Now) -> Option<No> {
        None
    }

    #[inline]
    fn try_acquire(
        &self,
        _request: &RequestInfo,
        _now: &Now,
        _later: &mut Deferred,
    ) -> Result<(), No> {
        Ok(())
    }

    #[inline]
    fn record(
        &self,
        _request: &RequestInfo,
        (): (),
        _done: &Completion,
        _later: &mut Deferred,
    ) -> Option<()> {
        None
    }

    fn not_ready(&self, _verdict: &Verdict, _now: &Now, _later: &mut Deferred) {}

    fn subscribe(&self, _subscriber: Weak<dyn Subscriber>) {}
}

impl<G: Gate + ?Sized> Gate for Arc<G> {
    type Permit = G::Permit;

    #[inline]
    fn check(&self, request: Option<&RequestInfo>, now: &Now) -> Option<No> {
        (**self).check(request, now)
    }

    #[inline]
    fn try_acquire(
        &self,
        request: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<G::Permit, No> {
        (**self).try_acquire(request, now, later)
    }

    #[inline]
    fn record(
        &self,
        request: &RequestInfo,
        permit: G::Permit,
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<G::Permit> {
        (**self).record(request, permit, done, later)
    }

    fn not_ready(&self, verdict: &Verdict, now: &Now, later: &mut Deferred) {
        (**self).not_ready(verdict, now, later);
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        (**self).subscribe(subscriber);
    }
}

/// A gate that may be missing: `None` is always open.
impl<G: Gate> Gate for Option<G> {
    type Permit = Option<G::Permit>;

    #[inline]
    fn check(&self, request: Option<&RequestInfo>, now: &Now) -> Option<No> {
        self.as_ref()?.check(request, now)
    }

    #[inline]
    fn try_acquire(
        &self,
        request: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<Self::Permit, No> {
        self.as_ref().map(|gate| gate.try_acquire(request, now, later)).transpose()
    }

    #[inline]
    fn record(
        &self,
        request: &RequestInfo,
        permit: Self::Permit,
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<Self::Permit> {
        self.as_ref()?.record(request, permit?, done, later).map(Some)
    }

    fn not_ready(&self, verdict: &Verdict, now: &Now, later: &mut Deferred) {
        if let Some(gate) = self {
            gate.not_ready(verdict, now, later);
        }
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        if let Some(gate) = self {
            gate.subscribe(subscriber);
        }
    }
}

/// Both gates or neither: what the first gave goes back when the second says no. Nest pairs for more
/// than two; put the gate whose permit is costly to give back last.
///
/// A caller does not wait for one gate while the other is closed to it. Of a stream, each gate keeps
/// its permit until the end or not, whatever the other does.
impl<A: Gate, B: Gate> Gate for (A, B) {
    /// `None`: that gate has recorded its permit already, at the head of a stream.
    type Permit = (Option<A::Permit>, Option<B::Permit>);

    #[inline]
    fn check(&self, request: Option<&RequestInfo>, now: &Now) -> Option<No> {
        match self.0.check(request, now) {
            None => self.1.check(request, now),
            Some(no) => Some(no.and(self.1.check(request, now))),
        }
    }

    #[inline]
    fn try_acquire(
        &self,
        request: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<Self::Permit, No> {
        let first = match self.0.try_acquire(request, now, later) {
            Ok(first) => first,
            Err(no) => return Err(no.and(self.1.check(Some(request), now))),
        };
        match self.1.try_acquire(request, now, later) {
            Ok(second) => Ok((Some(first), Some(second))),
            Err(no) => {
                self.0.record(request, first, &Completion::not_sent(now.clone()), later);
                Err(no)
            }
        }
    }

    #[inline]
    fn record(
        &self,
        request: &RequestInfo,
        permit: Self::Permit,
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<Self::Permit> {
        let first = permit.0.and_then(|first| self.0.record(request, first, done, later));
        let second = permit.1.and_then(|second| self.1.record(request, second, done, later));
        let kept = done.stage == Stage::Head && (first.is_some() || second.is_some());
        kept.then_some((first, second))
    }

    fn not_ready(&self, verdict: &Verdict, now: &Now, later: &mut Deferred) {
        self.0.not_ready(verdict, now, later);
        self.1.not_ready(verdict, now, later);
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.0.subscribe(subscriber.clone());
        self.1.subscribe(subscriber);
    }
}
