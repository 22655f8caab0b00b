use crate::{
    BoxError, ClassifyResponse, Completion, Deferred, EndOfStream, Gate, HasInfo, Now, Tick,
    Verdict, judge, verdict_of_error,
};

/// A permit in the hands of a future: whatever becomes of the future, the gate gets it back.
///
/// It knows what the permit was acquired for by its `classifier`: that of the call, so that its
/// request info is carried once, or plain [`RequestInfo`](crate::RequestInfo).
///
/// Dropped before [`sent`](Guard::sent), the permit is recorded as not sent; dropped after, its
/// attempt is recorded as [cancelled](Verdict::cancelled).
#[must_use = "dropping a guard gives its permit back"]
pub struct Guard<G: Gate, C: HasInfo> {
    gate: G,
    classifier: C,
    permit: Option<G::Permit>,
    sent: Option<Tick>,
}

impl<G: Gate, C: HasInfo> Guard<G, C> {
    /// Guards the `permit` that `gate` gave for the request that `classifier` belongs to.
    #[inline]
    pub fn new(gate: G, classifier: C, permit: G::Permit) -> Self {
        Self { gate, classifier, permit: Some(permit), sent: None }
    }

    /// What classifies the response of the attempt.
    #[inline]
    pub fn classifier(&self) -> &C {
        &self.classifier
    }

    /// The attempt was sent at `now`. From here on it counts.
    #[inline]
    pub fn sent(&mut self, now: Tick) {
        self.sent.get_or_insert(now);
    }

    /// The service below failed to become ready: the gate learns why, and gets its permit back.
    pub fn not_ready(&mut self, error: &BoxError) {
        let Some(permit) = self.permit.take() else { return };
        let verdict = verdict_of_error(&**error).unwrap_or(Verdict::unknown());
        let (now, mut later) = (Now::new(), Deferred::new());
        self.gate.not_ready(&verdict, &now, &mut later);
        self.gate.record(self.classifier.info(), permit, &Completion::not_sent(now), &mut later);
    }

    /// Records that the attempt ended in `verdict`. Does nothing the second time.
    #[inline]
    pub fn record(&mut self, verdict: Verdict) {
        let Some(permit) = self.permit.take() else { return };
        let mut later = Deferred::new();
        let done = self.completion(verdict, Now::new());
        self.gate.record(self.classifier.info(), permit, &done, &mut later);
    }

    /// Records what the classifier says of `result`: at the
    /// [end of the stream](ClassifyResponse::end_of_stream), if there is one and the gate waits for
    /// it. Does nothing the second time.
    #[inline]
    pub fn classify<Res>(&mut self, result: Result<&Res, &BoxError>)
    where
        G: Clone,
        C: ClassifyResponse<Res>,
    {
        let verdict = judge(&self.classifier, result);
        let end = result.ok().filter(|_| verdict.is_success());
        match end.and_then(|response| self.classifier.end_of_stream(response)) {
            Some(end) => self.record_at_end(verdict, &end),
            None => self.record(verdict),
        }
    }

    #[cold]
    fn record_at_end(&mut self, head: Verdict, end: &EndOfStream)
    where
        G: Clone,
    {
        let Some(permit) = self.permit.take() else { return };
        let info = *self.classifier.info();
        let now = Now::new();
        let done = Completion::head(head, self.sent.unwrap_or_else(|| now.tick()), now);
        let kept = self.gate.record(&info, permit, &done, &mut Deferred::new());
        if kept.is_some() {
            let (gate, sent) = (self.gate.clone(), self.sent);
            let mut guard = Guard { gate, classifier: info, permit: kept, sent };
            end.then(move |verdict| guard.record(verdict));
        }
    }

    #[inline]
    fn completion(&self, verdict: Verdict, now: Now) -> Completion {
        Completion::new(verdict, self.sent.unwrap_or_else(|| now.tick()), now)
    }

    #[cold]
    fn abandon(&self, permit: G::Permit) {
        let done = match self.sent {
            None => Completion::not_sent(Now::new()),
            Some(_) => self.completion(Verdict::cancelled(), Now::new()),
        };
        self.gate.record(self.classifier.info(), permit, &done, &mut Deferred::new());
    }
}

impl<G: Gate, C: HasInfo> Drop for Guard<G, C> {
    #[inline]
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.abandon(permit);
        }
    }
}

impl<G: Gate, C: HasInfo> std::fmt::Debug for Guard<G, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("info", self.classifier.info())
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}
