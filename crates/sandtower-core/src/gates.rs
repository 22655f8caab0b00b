//! Gates made of gates: none, one perhaps, an `Arc` of one, and several of which all or none are taken.

use std::sync::{Arc, Weak};

use crate::{Asked, Changed, Clock, Gate, Refusal, Settlement, Take, Tick, Verdict};

/// No gate: always open.
impl Gate for () {
    type Token = ();

    fn take(&self, _asked: &Asked, _now: Tick) -> Take<()> {
        Take::Open(())
    }

    fn give_back(&self, _asked: &Asked, (): ()) {}

    fn settle(&self, _asked: &Asked, (): (), _settlement: &Settlement) {}

    fn settle_untimed(&self, _asked: &Asked, (): (), _verdict: &Verdict) -> Option<()> {
        None
    }

    fn watch(&self, _changed: Weak<dyn Changed>) {}
}

impl<G: Gate + ?Sized> Gate for Arc<G> {
    type Token = G::Token;

    fn take(&self, asked: &Asked, now: Tick) -> Take<G::Token> {
        (**self).take(asked, now)
    }

    fn give_back(&self, asked: &Asked, token: G::Token) {
        (**self).give_back(asked, token);
    }

    fn settle(&self, asked: &Asked, token: G::Token, settlement: &Settlement) {
        (**self).settle(asked, token, settlement);
    }

    fn settle_untimed(
        &self,
        asked: &Asked,
        token: G::Token,
        verdict: &Verdict,
    ) -> Option<G::Token> {
        (**self).settle_untimed(asked, token, verdict)
    }

    fn head(&self, asked: &Asked, token: &mut G::Token, settlement: &Settlement) -> bool {
        (**self).head(asked, token, settlement)
    }

    fn peek(&self, clock: &impl Clock) -> Option<Refusal> {
        (**self).peek(clock)
    }

    fn refuses(&self, asked: &Asked, clock: &impl Clock) -> Option<Refusal> {
        (**self).refuses(asked, clock)
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        (**self).unready(verdict, now);
    }

    fn watch(&self, changed: Weak<dyn Changed>) {
        (**self).watch(changed);
    }
}

/// A gate that may be missing: `None` is always open.
impl<G: Gate> Gate for Option<G> {
    type Token = Option<G::Token>;

    fn take(&self, asked: &Asked, now: Tick) -> Take<Self::Token> {
        match self.as_ref().map(|gate| gate.take(asked, now)) {
            None => Take::Open(None),
            Some(Take::Open(token)) => Take::Open(Some(token)),
            Some(Take::NotBefore(at, why)) => Take::NotBefore(at, why),
            Some(Take::Refuse(why)) => Take::Refuse(why),
        }
    }

    fn give_back(&self, asked: &Asked, token: Self::Token) {
        if let (Some(gate), Some(token)) = (self, token) {
            gate.give_back(asked, token);
        }
    }

    fn settle(&self, asked: &Asked, token: Self::Token, settlement: &Settlement) {
        if let (Some(gate), Some(token)) = (self, token) {
            gate.settle(asked, token, settlement);
        }
    }

    #[inline]
    fn settle_untimed(
        &self,
        asked: &Asked,
        token: Self::Token,
        verdict: &Verdict,
    ) -> Option<Self::Token> {
        let (gate, token) = (self.as_ref()?, token?);
        gate.settle_untimed(asked, token, verdict).map(Some)
    }

    fn peek(&self, clock: &impl Clock) -> Option<Refusal> {
        self.as_ref()?.peek(clock)
    }

    fn refuses(&self, asked: &Asked, clock: &impl Clock) -> Option<Refusal> {
        self.as_ref()?.refuses(asked, clock)
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        if let Some(gate) = self {
            gate.unready(verdict, now);
        }
    }

    fn watch(&self, changed: Weak<dyn Changed>) {
        if let Some(gate) = self {
            gate.watch(changed);
        }
    }
}

/// Both gates or neither: what the first gave goes back when the second says no. Nest pairs for
/// more than two; put the gate whose token is dearest to take back last. Nobody waits for the first
/// while the second [refuses](Gate::refuses) them.
///
/// A token is `None` once it was settled [without the time](Gate::settle_untimed): one gate may need
/// it, and the other not.
impl<A: Gate, B: Gate> Gate for (A, B) {
    type Token = (Option<A::Token>, Option<B::Token>);

    fn take(&self, asked: &Asked, now: Tick) -> Take<Self::Token> {
        let first = match self.0.take(asked, now) {
            Take::Open(token) => token,
            Take::NotBefore(at, why) => {
                return match self.1.refuses(asked, &At(now)) {
                    Some(refusal) => Take::Refuse(refusal),
                    None => Take::NotBefore(at, why),
                };
            }
            Take::Refuse(why) => return Take::Refuse(why),
        };
        match self.1.take(asked, now) {
            Take::Open(second) => Take::Open((Some(first), Some(second))),
            Take::NotBefore(at, why) => {
                self.0.give_back(asked, first);
                Take::NotBefore(at, why)
            }
            Take::Refuse(why) => {
                self.0.give_back(asked, first);
                Take::Refuse(why)
            }
        }
    }

    fn give_back(&self, asked: &Asked, token: Self::Token) {
        if let Some(first) = token.0 {
            self.0.give_back(asked, first);
        }
        if let Some(second) = token.1 {
            self.1.give_back(asked, second);
        }
    }

    fn settle(&self, asked: &Asked, token: Self::Token, settlement: &Settlement) {
        if let Some(first) = token.0 {
            self.0.settle(asked, first, settlement);
        }
        if let Some(second) = token.1 {
            self.1.settle(asked, second, settlement);
        }
    }

    #[inline]
    fn settle_untimed(
        &self,
        asked: &Asked,
        token: Self::Token,
        verdict: &Verdict,
    ) -> Option<Self::Token> {
        let first = token.0.and_then(|first| self.0.settle_untimed(asked, first, verdict));
        let second = token.1.and_then(|second| self.1.settle_untimed(asked, second, verdict));
        if first.is_none() && second.is_none() { None } else { Some((first, second)) }
    }

    /// The one that does not wait for the end is settled, whatever the other does.
    fn head(&self, asked: &Asked, token: &mut Self::Token, settlement: &Settlement) -> bool {
        head(&self.0, asked, &mut token.0, settlement);
        head(&self.1, asked, &mut token.1, settlement);
        token.0.is_some() || token.1.is_some()
    }

    fn peek(&self, clock: &impl Clock) -> Option<Refusal> {
        self.0.peek(clock).or_else(|| self.1.peek(clock))
    }

    fn refuses(&self, asked: &Asked, clock: &impl Clock) -> Option<Refusal> {
        self.0.refuses(asked, clock).or_else(|| self.1.refuses(asked, clock))
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        self.0.unready(verdict, now);
        self.1.unready(verdict, now);
    }

    fn watch(&self, changed: Weak<dyn Changed>) {
        self.0.watch(changed.clone());
        self.1.watch(changed);
    }
}

/// Leaves a token where it is only if its `gate` waits for the end.
fn head<G: Gate>(gate: &G, asked: &Asked, token: &mut Option<G::Token>, settlement: &Settlement) {
    if !token.as_mut().is_some_and(|token| gate.head(asked, token, settlement))
        && let Some(token) = token.take()
    {
        gate.settle(asked, token, settlement);
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

    /// Refuses everything until an instant.
    struct Shut(Tick);

    impl Gate for Slow {
        type Token = ();

        fn take(&self, _asked: &Asked, now: Tick) -> Take<()> {
            let why = Refusal::new("pace", "slow", Reason::Throttled);
            Take::NotBefore(now + Duration::from_secs(1), why)
        }

        fn give_back(&self, _asked: &Asked, (): ()) {}

        fn settle(&self, _asked: &Asked, (): (), _settlement: &Settlement) {}

        fn watch(&self, _changed: Weak<dyn Changed>) {}
    }

    impl Gate for Shut {
        type Token = ();

        fn take(&self, _asked: &Asked, now: Tick) -> Take<()> {
            self.peek(&At(now)).map_or(Take::Open(()), Take::Refuse)
        }

        fn give_back(&self, _asked: &Asked, (): ()) {}

        fn settle(&self, _asked: &Asked, (): (), _settlement: &Settlement) {}

        fn peek(&self, clock: &impl Clock) -> Option<Refusal> {
            let why = || Refusal::new("breaker", "shut", Reason::Draining);
            (clock.now() < self.0).then(why)
        }

        fn watch(&self, _changed: Weak<dyn Changed>) {}
    }

    #[test]
    fn nobody_waits_for_one_gate_while_the_other_refuses_everything() {
        let until = Tick::ZERO + Duration::from_secs(5);
        let (asked, pair) = (Asked::default(), (Slow, Shut(until)));
        let take = |now| pair.take(&asked, now);
        assert!(matches!(take(Tick::ZERO), Take::Refuse(why) if why.reason() == Reason::Draining));
        assert!(
            matches!(take(until), Take::NotBefore(at, _) if at == until + Duration::from_secs(1))
        );
        let nested = (Slow, (Slow, Some(Shut(until))));
        assert!(matches!(nested.take(&asked, Tick::ZERO), Take::Refuse(_)));
    }

    /// Refuses one scope.
    struct ShutTo(Scope);

    impl Gate for ShutTo {
        type Token = ();

        fn take(&self, asked: &Asked, now: Tick) -> Take<()> {
            self.refuses(asked, &At(now)).map_or(Take::Open(()), Take::Refuse)
        }

        fn give_back(&self, _asked: &Asked, (): ()) {}

        fn settle(&self, _asked: &Asked, (): (), _settlement: &Settlement) {}

        fn refuses(&self, asked: &Asked, _clock: &impl Clock) -> Option<Refusal> {
            let why = || Refusal::new("breaker", "shut", Reason::Draining);
            (asked.scope == self.0).then(why)
        }

        fn watch(&self, _changed: Weak<dyn Changed>) {}
    }

    #[test]
    fn nobody_waits_for_one_gate_while_the_other_refuses_what_they_ask() {
        let [shut, open] = [1, 2].map(|scope| Asked::default().scope(Scope::new(scope)));
        let gates = (Slow, (Slow, Some(ShutTo(Scope::new(1)))));
        assert!(matches!(gates.take(&shut, Tick::ZERO), Take::Refuse(_)));
        assert!(matches!(gates.take(&open, Tick::ZERO), Take::NotBefore(..)));
    }
}
