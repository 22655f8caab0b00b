//! An engine behind its lock, and the word in front that mostly spares it.
//!
//! A quiet breaker, closed with nothing held against its service, is asked often and changes seldom.
//! That it is quiet, and in which generation, is read from one word, which is written under the lock
//! whenever the engine has changed. Reading it is as good as having had the lock at that moment.

mod sync;

use std::sync::PoisonError;

use sandtower_core::Outcome;

use self::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::{Counters, Permit, engine::Engine};

#[derive(Debug)]
pub(crate) struct Switch {
    /// Read by every call; written only when it changes, so that all threads may keep a copy.
    word: OwnLine<AtomicU64>,
    changing: OwnLine<Changing>,
}

/// Written by every call, or under the lock.
#[derive(Debug)]
struct Changing {
    /// Responses that changed nothing else.
    succeeded: AtomicU64,
    declined: AtomicU64,
    engine: Mutex<Engine>,
}

/// Keeps what every thread reads off the cache line that they write. 128 bytes: x86 fetches lines in
/// pairs, and Apple's are that long.
#[derive(Debug)]
#[repr(align(128))]
struct OwnLine<T>(T);

/// The generation of an engine, and whether it is quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

impl Word {
    fn of(engine: &Engine) -> Self {
        Self(engine.generation() << 1 | u64::from(engine.is_quiet()))
    }

    fn quiet(generation: u64) -> Self {
        Self(generation << 1 | 1)
    }

    fn generation(self) -> u64 {
        self.0 >> 1
    }

    fn is_quiet(self) -> bool {
        self.0 & 1 != 0
    }
}

impl Switch {
    pub(crate) fn new(engine: Engine) -> Self {
        let word = OwnLine(AtomicU64::new(Word::of(&engine).0));
        let [succeeded, declined] = [0, 0].map(AtomicU64::new);
        let engine = Mutex::new(engine);
        Self { word, changing: OwnLine(Changing { succeeded, declined, engine }) }
    }

    /// A permit, if it is quiet.
    #[inline]
    pub(crate) fn pass(&self) -> Option<Permit> {
        let word = self.word();
        word.is_quiet().then(|| Permit { generation: word.generation(), lease: None })
    }

    /// Whether every call is let through, and its response would change nothing.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.word().is_quiet()
    }

    /// Counts a response, if it changes nothing else; `false` if the engine has to learn of it.
    #[inline]
    pub(crate) fn count(&self, permit: &Permit, outcome: Outcome) -> bool {
        let Changing { succeeded, declined, .. } = &self.changing.0;
        let counter = match outcome {
            Outcome::Success => succeeded,
            Outcome::Permanent | Outcome::Exhausted => declined,
            _ => return false,
        };
        let is_quiet = permit.lease.is_none() && self.word() == Word::quiet(permit.generation);
        if is_quiet {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        is_quiet
    }

    /// What was counted without asking the engine.
    pub(crate) fn add_responses(&self, counters: &mut Counters) {
        let Changing { succeeded, declined, .. } = &self.changing.0;
        counters.succeeded += succeeded.load(Ordering::Relaxed);
        counters.declined += declined.load(Ordering::Relaxed);
    }

    /// Lets `act` change the engine and publishes its word, in one critical section: an older word
    /// must never overwrite a newer one.
    pub(crate) fn update<T>(&self, act: impl FnOnce(&mut Engine) -> T) -> T {
        let mut engine = self.lock();
        let result = act(&mut engine);
        let word = Word::of(&engine).0;
        // Relaxed: it is written under the lock alone.
        if self.word.0.load(Ordering::Relaxed) != word {
            self.word.0.store(word, Ordering::Release);
        }
        result
    }

    // A panic elsewhere leaves the engine in order: no caller's code runs under the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Engine> {
        self.changing.0.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn word(&self) -> Word {
        Word(self.word.0.load(Ordering::Acquire))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
