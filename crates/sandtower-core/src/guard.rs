use crate::{
    BoxError, ClassifyResponse, Clock, Completion, EndOfStream, Gate, HasInfo, Tick, Verdict,
    judge, verdict_of_error,
};

/// A token in the hands of a future: whatever becomes of the future, the gate gets it back.
///
/// It knows what the token was taken for by its `judge`: that of the call, so that what was asked is
/// carried once, or plain [`RequestInfo`](crate::RequestInfo).
///
/// Dropped before [`sent`](Guard::sent), the token is given back; dropped after, it is settled as
/// [cancelled](Verdict::cancelled).
#[must_use = "dropping a guard gives its token back"]
pub struct Guard<G: Gate, K: Clock, J: HasInfo> {
    gate: G,
    clock: K,
    judge: J,
    token: Option<G::Token>,
    sent: Option<Tick>,
}

impl<G: Gate, K: Clock, J: HasInfo> Guard<G, K, J> {
    /// Guards the `token` that `gate` gave for what `judge` knows.
    #[inline]
    pub fn new(gate: G, clock: K, judge: J, token: G::Token) -> Self {
        Self { gate, clock, judge, token: Some(token), sent: None }
    }

    /// What judges the answer of the attempt.
    #[inline]
    pub fn judge(&self) -> &J {
        &self.judge
    }

    /// The attempt was sent at `now`. From here on it counts.
    #[inline]
    pub fn sent(&mut self, now: Tick) {
        self.sent.get_or_insert(now);
    }

    /// The service below failed to become ready: the token goes back, and the gate hears why.
    pub fn unready(&mut self, error: &BoxError) {
        let Some(token) = self.token.take() else { return };
        let verdict = verdict_of_error(&**error).unwrap_or(Verdict::unknown());
        self.gate.unready(&verdict, self.clock.now());
        self.gate.give_back(self.judge.info(), token);
    }

    /// Settles the token with the verdict on its attempt. Does nothing the second time.
    #[inline]
    pub fn settle(&mut self, verdict: Verdict) {
        let Some(token) = self.token.take() else { return };
        if let Some(token) = self.gate.settle_untimed(self.judge.info(), token, &verdict) {
            self.settle_now(token, verdict);
        }
    }

    /// Settles the token with what the judge says of `result`: at the [end](ClassifyResponse::end_of_stream) of the
    /// answer, if it has one and the gate waits for it. Does nothing the second time.
    #[inline]
    pub fn judged<Res>(&mut self, result: Result<&Res, &BoxError>)
    where
        G: Clone,
        J: ClassifyResponse<Res>,
        K: Clone + Send + 'static,
    {
        let verdict = judge(&self.judge, result);
        match result {
            Ok(response) if verdict.is_success() => match self.judge.end_of_stream(response) {
                Some(ending) => self.settle_at_end(verdict, &ending),
                None => self.settle(verdict),
            },
            _ => self.settle(verdict),
        }
    }

    #[cold]
    fn settle_at_end(&mut self, head: Verdict, ending: &EndOfStream)
    where
        G: Clone,
        K: Clone + Send + 'static,
    {
        let Some(mut token) = self.token.take() else { return };
        let info = *self.judge.info();
        let now = self.clock.now();
        let settlement = Completion::new(head, self.sent.unwrap_or(now), now);
        if self.gate.head(&info, &mut token, &settlement) {
            let (gate, clock, sent) = (self.gate.clone(), self.clock.clone(), self.sent);
            let mut guard = Guard { gate, clock, judge: info, token: Some(token), sent };
            ending.then(move |verdict| guard.settle(verdict));
        } else {
            self.gate.settle(&info, token, &settlement);
        }
    }

    #[inline(never)]
    fn settle_now(&self, token: G::Token, verdict: Verdict) {
        let now = self.clock.now();
        let settlement = Completion::new(verdict, self.sent.unwrap_or(now), now);
        self.gate.settle(self.judge.info(), token, &settlement);
    }

    #[cold]
    fn abandon(&self, token: G::Token) {
        match self.sent {
            None => self.gate.give_back(self.judge.info(), token),
            Some(_) => self.settle_now(token, Verdict::cancelled()),
        }
    }
}

impl<G: Gate, K: Clock, J: HasInfo> Drop for Guard<G, K, J> {
    #[inline]
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            self.abandon(token);
        }
    }
}

impl<G: Gate, K: Clock, J: HasInfo> std::fmt::Debug for Guard<G, K, J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("info", self.judge.info())
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}
