//! What a rate limit has to do with its store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sandtower_core::Tick;

use crate::{Entry, RateLimit, Store, StoreError};

/// A record is in the store at most this much later, and the time that writing it takes.
const EVERY: Duration = Duration::from_millis(250);

/// So many writes later what expired is removed.
const CLEAN_EVERY: u32 = 240;

#[derive(Debug)]
pub(crate) struct Saving {
    store: Arc<dyn Store>,
    /// One exchange at a time: what one has not put back yet, another must not miss.
    turn: Mutex<()>,
    /// Whether the store could not be used the last time: told once.
    lost: AtomicBool,
}

impl Saving {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, turn: Mutex::new(()), lost: AtomicBool::new(false) }
    }

    /// Gives the store what `collect` finds, and takes what others have put there. What the store
    /// did not take goes back by `keep`.
    pub(crate) fn exchange(
        &self,
        name: &str,
        collect: impl FnOnce(u64, &mut Vec<Entry>),
        keep: impl Fn(u8, i64),
        take: impl Fn(Entry, Tick, u64),
    ) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, wall) = (Tick::now(), wall());
        let mut ours = Vec::new();
        collect(wall, &mut ours);
        match self.store.exchange(&ours, wall) {
            Ok(theirs) => {
                self.found();
                theirs.into_iter().for_each(|entry| take(entry, now, wall));
            }
            Err(error) => {
                for entry in ours {
                    if let Entry::Sent { operation, count, .. } = entry {
                        keep(operation, count);
                    }
                }
                self.missed(name, &error);
            }
        }
    }

    pub(crate) fn cleanup(&self, name: &str) -> u64 {
        match self.store.cleanup(wall()) {
            Ok(removed) => removed,
            Err(error) => {
                self.missed(name, &error);
                0
            }
        }
    }

    fn found(&self) {
        self.lost.store(false, Ordering::Relaxed);
    }

    fn missed(&self, name: &str, error: &StoreError) {
        if !self.lost.swap(true, Ordering::Relaxed) {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(
                target: "sandtower::rate_limit",
                name, error = %error, cause,
                "the store of a rate limit cannot be used: it counts by itself until it can"
            );
        }
    }
}

/// Saves `limit` again and again, as long as there is one.
pub(crate) fn in_background(
    limit: impl Fn() -> Option<RateLimit> + Send + 'static,
) -> std::io::Result<()> {
    let work = move || {
        for round in 1_u32.. {
            std::thread::park_timeout(EVERY);
            let Some(limit) = limit() else { return };
            limit.sync();
            if round.is_multiple_of(CLEAN_EVERY) {
                limit.cleanup();
            }
        }
    };
    std::thread::Builder::new().name("sandtower-rate-limit".into()).spawn(work).map(drop)
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
