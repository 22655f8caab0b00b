use crate::{Asked, BoxError, Clock, Gate, Settlement, Tick, Verdict, verdict_of_error};

/// A token in the hands of a future: whatever becomes of the future, the gate gets it back.
///
/// Dropped before [`sent`](Guard::sent), the token is given back; dropped after, it is settled as
/// [cancelled](Verdict::cancelled).
#[must_use = "dropping a guard gives its token back"]
pub struct Guard<G: Gate, K: Clock> {
    gate: G,
    clock: K,
    asked: Asked,
    token: Option<G::Token>,
    sent: Option<Tick>,
}

impl<G: Gate, K: Clock> Guard<G, K> {
    /// Guards the `token` that `gate` gave for `asked`.
    pub fn new(gate: G, clock: K, asked: Asked, token: G::Token) -> Self {
        Self { gate, clock, asked, token: Some(token), sent: None }
    }

    /// What the token was taken for.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// The attempt was sent at `now`. From here on it counts.
    pub fn sent(&mut self, now: Tick) {
        self.sent.get_or_insert(now);
    }

    /// The service below failed to become ready: the token goes back, and the gate hears why.
    pub fn unready(self, error: &BoxError) {
        let verdict = verdict_of_error(&**error).unwrap_or(Verdict::unknown());
        self.gate.unready(&verdict, self.clock.now());
    }

    /// Settles the token with the verdict on its attempt.
    pub fn settle(mut self, verdict: Verdict) {
        let Some(token) = self.token.take() else { return };
        if let Some(token) = self.gate.settle_untimed(&self.asked, token, &verdict) {
            let now = self.clock.now();
            let settlement = Settlement::new(verdict, self.sent.unwrap_or(now), now);
            self.gate.settle(&self.asked, token, &settlement);
        }
    }
}

impl<G: Gate, K: Clock> Drop for Guard<G, K> {
    fn drop(&mut self) {
        let Some(token) = self.token.take() else { return };
        match self.sent {
            None => self.gate.give_back(&self.asked, token),
            Some(sent) => {
                let settlement = Settlement::new(Verdict::cancelled(), sent, self.clock.now());
                self.gate.settle(&self.asked, token, &settlement);
            }
        }
    }
}

impl<G: Gate, K: Clock> std::fmt::Debug for Guard<G, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("asked", &self.asked)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}
