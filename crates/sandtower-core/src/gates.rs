//! Gates made of gates: none, one perhaps, an `Arc` of one, and several of which all or none are taken.

use std::sync::{Arc, Weak};

use crate::{Clock, Completion, Gate, Rejection, RequestInfo, Subscriber, Take, Tick, Verdict};

/// No gate: always open.
impl Gate for () {
    type Token = ();

    fn take(&self, _asked: &RequestInfo, _now: Tick) -> Take<()> {
        Take::Open(())
    }

    fn give_back(&self, _asked: &RequestInfo, (): ()) {}

    fn settle(&self, _asked: &RequestInfo, (): (), _settlement: &Completion) {}

    fn settle_untimed(&self, _asked: &RequestInfo, (): (), _verdict: &Verdict) -> Option<()> {
        None
    }

    fn watch(&self, _changed: Weak<dyn Subscriber>) {}
}

impl<G: Gate + ?Sized> Gate for Arc<G> {
    type Token = G::Token;

    fn take(&self, info: &RequestInfo, now: Tick) -> Take<G::Token> {
        (**self).take(info, now)
    }

    fn give_back(&self, info: &RequestInfo, token: G::Token) {
        (**self).give_back(info, token);
    }

    fn settle(&self, info: &RequestInfo, token: G::Token, settlement: &Completion) {
        (**self).settle(info, token, settlement);
    }

    fn settle_untimed(
        &self,
        info: &RequestInfo,
        token: G::Token,
        verdict: &Verdict,
    ) -> Option<G::Token> {
        (**self).settle_untimed(info, token, verdict)
    }

    fn head(&self, info: &RequestInfo, token: &mut G::Token, settlement: &Completion) -> bool {
        (**self).head(info, token, settlement)
    }

    fn peek(&self, clock: &impl Clock) -> Option<Rejection> {
        (**self).peek(clock)
    }

    fn rejects(&self, info: &RequestInfo, clock: &impl Clock) -> Option<Rejection> {
        (**self).rejects(info, clock)
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        (**self).unready(verdict, now);
    }

    fn watch(&self, changed: Weak<dyn Subscriber>) {
        (**self).watch(changed);
    }
}

/// A gate that may be missing: `None` is always open.
impl<G: Gate> Gate for Option<G> {
    type Token = Option<G::Token>;

    fn take(&self, info: &RequestInfo, now: Tick) -> Take<Self::Token> {
        match self.as_ref().map(|gate| gate.take(info, now)) {
            None => Take::Open(None),
            Some(Take::Open(token)) => Take::Open(Some(token)),
            Some(Take::NotBefore(at, why)) => Take::NotBefore(at, why),
            Some(Take::Reject(why)) => Take::Reject(why),
        }
    }

    fn give_back(&self, info: &RequestInfo, token: Self::Token) {
        if let (Some(gate), Some(token)) = (self, token) {
            gate.give_back(info, token);
        }
    }

    fn settle(&self, info: &RequestInfo, token: Self::Token, settlement: &Completion) {
        if let (Some(gate), Some(token)) = (self, token) {
            gate.settle(info, token, settlement);
        }
    }

    #[inline]
    fn settle_untimed(
        &self,
        info: &RequestInfo,
        token: Self::Token,
        verdict: &Verdict,
    ) -> Option<Self::Token> {
        let (gate, token) = (self.as_ref()?, token?);
        gate.settle_untimed(info, token, verdict).map(Some)
    }

    fn peek(&self, clock: &impl Clock) -> Option<Rejection> {
        self.as_ref()?.peek(clock)
    }

    fn rejects(&self, info: &RequestInfo, clock: &impl Clock) -> Option<Rejection> {
        self.as_ref()?.rejects(info, clock)
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        if let Some(gate) = self {
            gate.unready(verdict, now);
        }
    }

    fn watch(&self, changed: Weak<dyn Subscriber>) {
        if let Some(gate) = self {
            gate.watch(changed);
        }
    }
}

/// Both gates or neither: what the first gave goes back when the second says no. Nest pairs for
/// more than two; put the gate whose token is dearest to take back last. Nobody waits for the first
/// while the second [rejects](Gate::rejects) them.
///
/// A token is `None` once it was settled [without the time](Gate::settle_untimed): one gate may need
/// it, and the other not.
impl<A: Gate, B: Gate> Gate for (A, B) {
    type Token = (Option<A::Token>, Option<B::Token>);

    fn take(&self, info: &RequestInfo, now: Tick) -> Take<Self::Token> {
        let first = match self.0.take(info, now) {
            Take::Open(token) => token,
            Take::NotBefore(at, why) => {
                return match self.1.rejects(info, &At(now)) {
                    Some(rejection) => Take::Reject(rejection),
                    None => Take::NotBefore(at, why),
                };
            }
            Take::Reject(why) => return Take::Reject(why),
        };
        match self.1.take(info, now) {
            Take::Open(second) => Take::Open((Some(first), Some(second))),
            Take::NotBefore(at, why) => {
                self.0.give_back(info, first);
                Take::NotBefore(at, why)
            }
            Take::Reject(why) => {
                self.0.give_back(info, first);
                Take::Reject(why)
            }
        }
    }

    fn give_back(&self, info: &RequestInfo, token: Self::Token) {
        if let Some(first) = token.0 {
            self.0.give_back(info, first);
        }
        if let Some(second) = token.1 {
            self.1.give_back(info, second);
        }
    }

    fn settle(&self, info: &RequestInfo, token: Self::Token, settlement: &Completion) {
        if let Some(first) = token.0 {
            self.0.settle(info, first, settlement);
        }
        if let Some(second) = token.1 {
            self.1.settle(info, second, settlement);
        }
    }

    #[inline]
    fn settle_untimed(
        &self,
        info: &RequestInfo,
        token: Self::Token,
        verdict: &Verdict,
    ) -> Option<Self::Token> {
        let first = token.0.and_then(|first| self.0.settle_untimed(info, first, verdict));
        let second = token.1.and_then(|second| self.1.settle_untimed(info, second, verdict));
        if first.is_none() && second.is_none() { None } else { Some((first, second)) }
    }

    /// The one that does not wait for the end is settled, whatever the other does.
    fn head(&self, info: &RequestInfo, token: &mut Self::Token, settlement: &Completion) -> bool {
        head(&self.0, info, &mut token.0, settlement);
        head(&self.1, info, &mut token.1, settlement);
        token.0.is_some() || token.1.is_some()
    }

    fn peek(&self, clock: &impl Clock) -> Option<Rejection> {
        self.0.peek(clock).or_else(|| self.1.peek(clock))
    }

    fn rejects(&self, info: &RequestInfo, clock: &impl Clock) -> Option<Rejection> {
        self.0.rejects(info, clock).or_else(|| self.1.rejects(info, clock))
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        self.0.unready(verdict, now);
        self.1.unready(verdict, now);
    }

    fn watch(&self, changed: Weak<dyn Subscriber>) {
        self.0.watch(changed.clone());
        self.1.watch(changed);
    }
}

/// Leaves a token where it is only if its `gate` waits for the end.
fn head<G: Gate>(
    gate: &G,
    info: &RequestInfo,
    token: &mut Option<G::Token>,
    settlement: &Completion,
) {
    if !token.as_mut().is_some_and(|token| gate.head(info, token, settlement))
        && let Some(token) = token.take()
    {
        gate.settle(info, token, settlement);
    }
}

/// The instant at which gates are asked, for those that want a clock.
struct At(Tick);

impl Clock for At {
    fn now(&self) -> Tick {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Reason, Scope};

    /// Lets nobody through before a second is over.
    struct Slow;

    /// Rejects everything until an instant.
    struct Shut(Tick);

    impl Gate for Slow {
        type Token = ();

        fn take(&self, _asked: &RequestInfo, now: Tick) -> Take<()> {
            let why = Rejection::new("pace", "slow", Reason::Throttled);
            Take::NotBefore(now + Duration::from_secs(1), why)
        }

        fn give_back(&self, _asked: &RequestInfo, (): ()) {}

        fn settle(&self, _asked: &RequestInfo, (): (), _settlement: &Completion) {}

        fn watch(&self, _changed: Weak<dyn Subscriber>) {}
    }

    impl Gate for Shut {
        type Token = ();

        fn take(&self, _asked: &RequestInfo, now: Tick) -> Take<()> {
            self.peek(&At(now)).map_or(Take::Open(()), Take::Reject)
        }

        fn give_back(&self, _asked: &RequestInfo, (): ()) {}

        fn settle(&self, _asked: &RequestInfo, (): (), _settlement: &Completion) {}

        fn peek(&self, clock: &impl Clock) -> Option<Rejection> {
            let why = || Rejection::new("breaker", "shut", Reason::Draining);
            (clock.now() < self.0).then(why)
        }

        fn watch(&self, _changed: Weak<dyn Subscriber>) {}
    }

    #[test]
    fn nobody_waits_for_one_gate_while_the_other_rejects_everything() {
        let until = Tick::ZERO + Duration::from_secs(5);
        let (info, pair) = (RequestInfo::default(), (Slow, Shut(until)));
        let take = |now| pair.take(&info, now);
        assert!(matches!(take(Tick::ZERO), Take::Reject(why) if why.reason() == Reason::Draining));
        assert!(
            matches!(take(until), Take::NotBefore(at, _) if at == until + Duration::from_secs(1))
        );
        let nested = (Slow, (Slow, Some(Shut(until))));
        assert!(matches!(nested.take(&info, Tick::ZERO), Take::Reject(_)));
    }

    /// Rejects one scope.
    struct ShutTo(Scope);

    impl Gate for ShutTo {
        type Token = ();

        fn take(&self, info: &RequestInfo, now: Tick) -> Take<()> {
            self.rejects(info, &At(now)).map_or(Take::Open(()), Take::Reject)
        }

        fn give_back(&self, _asked: &RequestInfo, (): ()) {}

        fn settle(&self, _asked: &RequestInfo, (): (), _settlement: &Completion) {}

        fn rejects(&self, info: &RequestInfo, _clock: &impl Clock) -> Option<Rejection> {
            let why = || Rejection::new("breaker", "shut", Reason::Draining);
            (info.scope == self.0).then(why)
        }

        fn watch(&self, _changed: Weak<dyn Subscriber>) {}
    }

    #[test]
    fn nobody_waits_for_one_gate_while_the_other_rejects_what_they_ask() {
        let [shut, open] = [1, 2].map(|scope| RequestInfo::default().scope(Scope::new(scope)));
        let gates = (Slow, (Slow, Some(ShutTo(Scope::new(1)))));
        assert!(matches!(gates.take(&shut, Tick::ZERO), Take::Reject(_)));
        assert!(matches!(gates.take(&open, Tick::ZERO), Take::NotBefore(..)));
    }
}
