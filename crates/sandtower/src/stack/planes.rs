use std::sync::Weak;

use crate::circuit_breaker::{CircuitBreaker, Token};
use crate::core::{Asked, Changed, Clock, Gate, Refusal, Settlement, Take, Tick, Verdict};
use crate::e2b::operation::SANDBOXES;

/// A circuit breaker for each half of E2B: the control plane, and what runs in sandboxes. They fail
/// apart, and while one is down the other is to be used: what runs in a sandbox goes on when no new one
/// can be had.
#[derive(Clone, Debug)]
pub struct Planes {
    pub(super) control: CircuitBreaker,
    pub(super) sandboxes: CircuitBreaker,
}

/// Of one of the two, which is that of the scope that was asked for.
#[derive(Debug)]
#[must_use = "a token has to be given back or settled"]
pub struct PlaneToken(Token);

impl Planes {
    fn of(&self, asked: &Asked) -> &CircuitBreaker {
        if asked.scope == SANDBOXES { &self.sandboxes } else { &self.control }
    }
}

impl Gate for Planes {
    type Token = PlaneToken;

    fn take(&self, asked: &Asked, now: Tick) -> Take<PlaneToken> {
        match self.of(asked).take(asked, now) {
            Take::Open(token) => Take::Open(PlaneToken(token)),
            Take::NotBefore(at, why) => Take::NotBefore(at, why),
            Take::Refuse(why) => Take::Refuse(why),
        }
    }

    fn give_back(&self, asked: &Asked, token: PlaneToken) {
        self.of(asked).give_back(asked, token.0);
    }

    fn settle(&self, asked: &Asked, token: PlaneToken, settlement: &Settlement) {
        self.of(asked).settle(asked, token.0, settlement);
    }

    fn settle_untimed(
        &self,
        asked: &Asked,
        token: PlaneToken,
        verdict: &Verdict,
    ) -> Option<PlaneToken> {
        self.of(asked).settle_untimed(asked, token.0, verdict).map(PlaneToken)
    }

    fn head(&self, asked: &Asked, token: &mut PlaneToken, settlement: &Settlement) -> bool {
        self.of(asked).head(asked, &mut token.0, settlement)
    }

    fn peek(&self, clock: &impl Clock) -> Option<Refusal> {
        let refusal = self.control.peek(clock)?;
        self.sandboxes.peek(clock).map(|_| refusal)
    }

    fn refuses(&self, asked: &Asked, clock: &impl Clock) -> Option<Refusal> {
        self.of(asked).peek(clock)
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        self.control.unready(verdict, now);
        self.sandboxes.unready(verdict, now);
    }

    fn watch(&self, changed: Weak<dyn Changed>) {
        self.control.watch(changed.clone());
        self.sandboxes.watch(changed);
    }
}
