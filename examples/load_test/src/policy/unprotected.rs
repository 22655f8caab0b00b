//! The application without protection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sandtower::e2b::{Client, Config};
use sandtower_load::{Part, spend};

use super::{Caller, Execute, Failure, Job, Look, Transport, run_once};

/// Every failure is retried twice, whatever it was.
#[derive(Debug)]
pub(crate) struct Unprotected<S> {
    client: Client<S>,
    retries: AtomicU64,
}

const BLIND_RETRIES: u32 = 2;
const BLIND_PAUSE: Duration = Duration::from_secs(1);
/// The timeout of the official clients, also for running code.
const PATIENCE: Duration = Duration::from_secs(60);

impl<S> Unprotected<S> {
    pub(crate) fn new(transport: S, config: Config) -> Self {
        Self { client: Client::new(transport, config), retries: AtomicU64::new(0) }
    }
}

impl<S: Transport> Execute for Unprotected<S> {
    async fn execute(&self, job: &Job, _: Caller) -> Result<(), Failure> {
        let mut left = BLIND_RETRIES;
        loop {
            let once = run_once(&self.client, &self.client, job);
            let error = match tokio::time::timeout(PATIENCE, once).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => Failure::new(format!("no response within {PATIENCE:?}")),
            };
            if left == 0 {
                return Err(error);
            }
            left -= 1;
            self.retries.fetch_add(1, Ordering::Relaxed);
            spend(Part::Backoff);
            tokio::time::sleep(BLIND_PAUSE).await;
        }
    }

    fn look(&self) -> Look {
        Look { retries: self.retries.load(Ordering::Relaxed), ..Look::default() }
    }
}
