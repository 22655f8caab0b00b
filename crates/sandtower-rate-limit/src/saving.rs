//! What a rate limit has to do with its store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sandtower_core::Tick;

use crate::{Entry, Store, StoreError};

/// A count is in the store at most this much later, and the time that writing it takes: a process
/// that is killed loses less than a second.
const EVERY: Duration = Duration::from_millis(250);

/// So many exchanges later what expired is removed: once a minute.
const CLEAN_EVERY: u32 = 240;

#[derive(Debug)]
pub(crate) struct Saving {
    store: Arc<dyn Store>,
    /// Held during an exchange: what one has not put back yet, another must not miss.
    turn: Mutex<Turn>,
    stopped: AtomicBool,
    /// Of the last exchange. Beside `turn`, which is held while a store blocks.
    available: AtomicBool,
}

#[derive(Debug, Default)]
struct Turn {
    /// Why the store could not be used the last time: logged once.
    failing: Option<&'static str>,
    closed: bool,
}

/// What an exchange does with what is kept by operation.
pub(crate) trait Exchanged {
    /// Collects what the store does not have yet.
    fn collect(&self, now: Tick, wall: u64) -> Vec<Entry>;
    /// The store did not take it: it comes again.
    fn keep(&self, ours: &[Entry]);
    /// Takes in what others have put there.
    fn take(&self, theirs: Vec<Entry>, now: Tick, wall: u64);
}

impl Saving {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let (turn, stopped, available) =
            (Mutex::default(), AtomicBool::new(false), AtomicBool::new(true));
        Self { store, turn, stopped, available }
    }

    /// Gives the store what it does not have, and takes what others have put there.
    pub(crate) fn exchange(&self, name: &str, with: &dyn Exchanged) -> Result<(), StoreError> {
        let (now, wall) = (Tick::now(), wall());
        let mut turn = self.turn();
        if turn.closed {
            return Ok(());
        }
        let ours = with.collect(now, wall);
        let exchanged = self.store.exchange(&ours, wall);
        self.available.store(exchanged.is_ok(), Ordering::Relaxed);
        if exchanged.is_err() {
            with.keep(&ours);
        }
        let changed = turn.changed(exchanged.as_ref().err());
        drop(turn);
        if changed {
            tell(name, exchanged.as_ref().err());
        }
        with.take(exchanged?, now, wall);
        Ok(())
    }

    pub(crate) fn cleanup(&self, name: &str) -> u64 {
        let mut turn = self.turn();
        if turn.closed {
            return 0;
        }
        let removed = self.store.cleanup(wall());
        let changed = turn.changed(removed.as_ref().err());
        drop(turn);
        if changed {
            tell(name, removed.as_ref().err());
        }
        removed.unwrap_or(0)
    }

    /// The last exchange; none comes after it.
    pub(crate) fn close(&self, name: &str, with: &dyn Exchanged) -> Result<(), StoreError> {
        self.stopped.store(true, Ordering::Relaxed);
        let last = self.exchange(name, with);
        if !std::mem::replace(&mut self.turn().closed, true) {
            self.store.close();
        }
        last
    }

    /// Exchanges in a thread of its own, until it is closed.
    pub(crate) fn in_background(
        work: impl Fn(bool) -> bool + Send + 'static,
    ) -> std::io::Result<Thread> {
        let work = move || {
            for round in 1_u32.. {
                std::thread::park_timeout(EVERY);
                if !work(round.is_multiple_of(CLEAN_EVERY)) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("sandtower-rate-limit".into());
        Ok(thread.spawn(work)?.thread().clone())
    }

    /// Whether the last exchange worked.
    pub(crate) fn is_available(&self) -> bool {
        self.available.load(Ordering::Relaxed)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Whether the store begins to fail, fails otherwise than before, or works again.
    fn changed(&mut self, error: Option<&StoreError>) -> bool {
        let failing = error.map(StoreError::label);
        std::mem::replace(&mut self.failing, failing) != failing
    }
}

/// Called with no lock held: a subscriber of `tracing` may use the rate limit.
fn tell(name: &str, error: Option<&StoreError>) {
    match error {
        Some(error) => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(
                target: "sandtower::rate_limit",
                name, kind = error.label(), error = %error, cause,
                "rate limit store unavailable, counting in memory"
            );
        }
        None => tracing::info!(
            target: "sandtower::rate_limit",
            name, "rate limit store recovered"
        ),
    }
}

/// Milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "what outlives the process needs a time that does too"
)]
fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
