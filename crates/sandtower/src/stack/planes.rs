use std::sync::Weak;

use crate::circuit_breaker::{CircuitBreaker, Token};
use crate::core::{
    Clock, Completion, Gate, Rejection, RequestInfo, Subscriber, Take, Tick, Verdict,
};
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
    fn of(&self, info: &RequestInfo) -> &CircuitBreaker {
        if info.scope == SANDBOXES { &self.sandboxes } else { &self.control }
    }
}

impl Gate for Planes {
    /// Of the breaker of the scope that was asked for.
    type Token = Token;

    fn take(&self, info: &RequestInfo, now: Tick) -> Take<Token> {
        self.of(info).take(info, now)
    }

    fn give_back(&self, info: &RequestInfo, token: Token) {
        self.of(info).give_back(info, token);
    }

    fn settle(&self, info: &RequestInfo, token: Token, settlement: &Completion) {
        self.of(info).settle(info, token, settlement);
    }

    fn settle_untimed(&self, info: &RequestInfo, token: Token, verdict: &Verdict) -> Option<Token> {
        self.of(info).settle_untimed(info, token, verdict)
    }

    fn head(&self, info: &RequestInfo, token: &mut Token, settlement: &Completion) -> bool {
        self.of(info).head(info, token, settlement)
    }

    fn peek(&self, clock: &impl Clock) -> Option<Rejection> {
        let rejection = self.control.peek(clock)?;
        self.sandboxes.peek(clock).map(|_| rejection)
    }

    fn rejects(&self, info: &RequestInfo, clock: &impl Clock) -> Option<Rejection> {
        self.of(info).peek(clock)
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        self.control.unready(verdict, now);
        self.sandboxes.unready(verdict, now);
    }

    fn watch(&self, changed: Weak<dyn Subscriber>) {
        self.control.watch(changed.clone());
        self.sandboxes.watch(changed);
    }
}
