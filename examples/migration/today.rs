//! The application's hand-written pattern: a circuit breaker around a retry loop around the creation of a
//! sandbox, which is then validated, with a warning at most.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sandtower::core::{BoxError, Outcome, Tick};
use sandtower::e2b::{Client, Command, Error, NewSandbox, Sandbox};

use crate::world::Http;

#[derive(Clone)]
pub(crate) struct Today {
    client: Client<Http>,
    breaker: Arc<Mutex<Breaker>>,
}

/// Opens after 5 failures, and lets every call through after a minute.
#[derive(Default)]
struct Breaker {
    failures: u32,
    opened: Option<Tick>,
}

const FAILURES: u32 = 5;
const OPEN_FOR: Duration = Duration::from_secs(60);
const RETRIES: u32 = 3;

impl Today {
    pub(crate) fn new(client: Client<Http>) -> Self {
        Self { client, breaker: Arc::default() }
    }

    pub(crate) async fn create(&self, new: &NewSandbox) -> Result<Sandbox, BoxError> {
        self.classify()?;
        let created = self.with_retries(new).await;
        self.tell(created.is_ok());
        let sandbox = created?;
        // A zombie is returned nevertheless: the validation only warns.
        let _ = self.client.run(&sandbox, &Command::new("echo 'health_check'")).await;
        Ok(sandbox)
    }

    async fn with_retries(&self, new: &NewSandbox) -> Result<Sandbox, Error> {
        let mut retry = 0;
        loop {
            let error = match self.client.create(new).await {
                Ok(sandbox) => return Ok(sandbox),
                Err(error) => error,
            };
            let (first, most) = match error.verdict().outcome {
                Outcome::Permanent => return Err(error),
                Outcome::Throttled | Outcome::Exhausted => (30, 30),
                Outcome::Transient => (1, 10),
                _ => (2, 15),
            };
            if retry == RETRIES {
                return Err(error);
            }
            // Blind: a lost response may have created a sandbox.
            tokio::time::sleep(Duration::from_secs(most.min(first << retry))).await;
            retry += 1;
        }
    }

    fn classify(&self) -> Result<(), BoxError> {
        let breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        match breaker.opened.map(|opened| Tick::now().since(opened)) {
            Some(since) if since < OPEN_FOR => {
                let left = (OPEN_FOR - since).as_secs();
                let text =
                    format!("Circuit breaker is OPEN - E2B service unavailable. Retry in {left}s.");
                Err(text.into())
            }
            _ => Ok(()),
        }
    }

    fn tell(&self, succeeded: bool) {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        if succeeded {
            *breaker = Breaker::default();
            return;
        }
        breaker.failures += 1;
        if breaker.failures >= FAILURES {
            breaker.opened = Some(Tick::now());
        }
    }
}
