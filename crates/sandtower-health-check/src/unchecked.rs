use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime;

use crate::{Check, Config, Handle, ledger::Ledger};

/// What all services of a layer over one service below share.
#[derive(Debug)]
pub(crate) struct Shared<S, K> {
    /// Never called and never polled: probes and discards get clones of it.
    spare: Mutex<S>,
    pub(crate) check: K,
    pub(crate) config: Config,
    pub(crate) handle: Handle,
}

impl<S, K> Shared<S, K> {
    pub(crate) fn new(spare: S, check: K, config: Config, handle: Handle) -> Self {
        Self { spare: Mutex::new(spare), check, config, handle }
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        self.handle.ledger()
    }

    fn fresh(&self) -> S
    where
        S: Clone,
    {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An answer that nobody has got yet. Dropped, it is discarded: whatever becomes of its future, it
/// is handed out or released, and never both.
pub(crate) struct Unchecked<S, Res, K>
where
    S: Clone,
    K: Check<S, Res>,
{
    answer: Option<Res>,
    shared: Arc<Shared<S, K>>,
    /// Where it was answered: it may be dropped anywhere.
    runtime: Option<runtime::Handle>,
}

impl<S, Res, K> Unchecked<S, Res, K>
where
    S: Clone,
    K: Check<S, Res>,
{
    pub(crate) fn new(answer: Res, shared: Arc<Shared<S, K>>) -> Self {
        let runtime = runtime::Handle::try_current().ok();
        Self { answer: Some(answer), shared, runtime }
    }

    pub(crate) fn answer(&self) -> Option<&Res> {
        self.answer.as_ref()
    }

    pub(crate) fn shared(&self) -> &Shared<S, K> {
        &self.shared
    }

    pub(crate) fn probe(&self) -> Option<K::Probe> {
        self.shared.check.probe(self.shared.fresh(), self.answer()?)
    }

    /// From here on the answer is its caller's. `None` only if it was handed out before.
    pub(crate) fn hand_out(mut self) -> Option<Res> {
        self.answer.take()
    }
}

impl<S, Res, K> Drop for Unchecked<S, Res, K>
where
    S: Clone,
    K: Check<S, Res>,
{
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            let discard = self.shared.check.discard(self.shared.fresh(), answer);
            self.shared.ledger().discard(self.runtime.as_ref(), discard);
        }
    }
}
