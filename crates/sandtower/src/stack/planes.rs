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

impl Planes {
    fn of(&self, asked: &Asked) -> &CircuitBreaker {
        if asked.scope == SANDBOXES { &self.sandboxes } else { &self.control }
    }
}

impl Gate for Planes {
    /// Of the breaker of the scope that was asked for.
    type Token = Token;

    fn take(&self, asked: &Asked, now: Tick) -> Take<Token> {
        self.of(asked).take(asked, now)
    }

    fn give_back(&self, asked: &Asked, token: Token) {
        self.of(asked).give_back(asked, token);
    }

    fn settle(&self, asked: &Asked, token: Token, settlement: &Settlement) {
        self.of(asked).settle(asked, token, settlement);
    }

    fn settle_untimed(&self, asked: &Asked, token: Token, verdict: &Verdict) -> Option<Token> {
        self.of(asked).settle_untimed(asked, token, verdict)
    }

    fn head(&self, asked: &Asked, token: &mut Token, settlement: &Settlement) -> bool {
        self.of(asked).head(asked, token, settlement)
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
