use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use sandtower_core::Seed;
use tokio::runtime;

use crate::ledger::{Ledger, Release};
use crate::{Check, Config, Handle};

/// Shared by all services of a layer over one service below.
#[derive(Debug)]
pub(crate) struct Shared<S, K> {
    /// Never polled: probes and releases get clones of it. The lock makes it shareable for services
    /// that are not [`Sync`], and is held for nothing but a clone.
    pristine: Mutex<S>,
    pub(crate) check: K,
    pub(crate) config: Config,
    pub(crate) handle: Handle,
    pub(crate) seed: Seed,
}

impl<S, K> Shared<S, K> {
    pub(crate) fn new(service: S, check: K, config: Config, handle: Handle) -> Self {
        Self { pristine: Mutex::new(service), check, config, handle, seed: Seed::random() }
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        self.handle.ledger()
    }

    /// An instance that has not been polled.
    pub(crate) fn fresh(&self) -> S
    where
        S: Clone,
    {
        self.pristine.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A response that no caller has got yet. If dropped, it is discarded: whatever happens to its future, it
/// is either returned or released.
pub(crate) struct Unchecked<S, Res, K>
where
    S: Clone + Send + 'static,
    Res: Send + 'static,
    K: Check<S, Res>,
{
    response: Option<Res>,
    shared: Arc<Shared<S, K>>,
    /// The runtime of the response: it may be dropped elsewhere.
    runtime: Option<runtime::Handle>,
}

impl<S, Res, K> Unchecked<S, Res, K>
where
    S: Clone + Send + 'static,
    Res: Send + 'static,
    K: Check<S, Res>,
{
    pub(crate) fn new(response: Res, shared: Arc<Shared<S, K>>) -> Self {
        let runtime = runtime::Handle::try_current().ok();
        Self { response: Some(response), shared, runtime }
    }

    pub(crate) fn response(&self) -> &Res {
        match &self.response {
            Some(response) => response,
            None => unreachable!("only `into_response` takes it, and consumes `self`"),
        }
    }

    pub(crate) fn shared(&self) -> &Shared<S, K> {
        &self.shared
    }

    pub(crate) fn probe(&self) -> Option<K::Probe> {
        self.shared.check.probe(self.shared.fresh(), self.response())
    }

    /// From here on the caller owns the response.
    pub(crate) fn into_response(mut self) -> Res {
        match self.response.take() {
            Some(response) => response,
            None => unreachable!("only `into_response` takes it, and consumes `self`"),
        }
    }
}

impl<S, Res, K> Drop for Unchecked<S, Res, K>
where
    S: Clone + Send + 'static,
    Res: Send + 'static,
    K: Check<S, Res>,
{
    fn drop(&mut self) {
        if let Some(response) = self.response.take() {
            let shared = Arc::clone(&self.shared);
            let discarded = Discarded { response: Mutex::new(response), shared };
            self.shared.ledger().discard(self.runtime.as_ref(), Arc::new(discarded));
        }
    }
}

struct Discarded<S, Res, K> {
    /// The lock makes it shareable for responses that are not [`Sync`]: two tasks may release it.
    response: Mutex<Res>,
    shared: Arc<Shared<S, K>>,
}

impl<S, Res, K> Release for Discarded<S, Res, K>
where
    S: Clone + Send + 'static,
    Res: Send + 'static,
    K: Check<S, Res>,
{
    fn begin(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let service = self.shared.fresh();
        let response = self.response.lock().unwrap_or_else(PoisonError::into_inner);
        Box::pin(self.shared.check.discard(service, &response))
    }
}

impl<S, Res, K> std::fmt::Debug for Discarded<S, Res, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Discarded").finish_non_exhaustive()
    }
}
