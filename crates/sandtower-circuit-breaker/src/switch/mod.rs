//! An engine behind its lock, and the words in front that mostly spare it.
//!
//! A closed breaker with nothing held against its service is asked often and changes seldom: all
//! that is asked of it then is read from one word, which is written under the lock, whenever the
//! engine has changed. Reading it is as good as having had the lock at that moment.

mod standing;
mod stripes;
mod sync;

use std::sync::PoisonError;

use sandtower_core::{Outcome, Tick};

use self::{
    standing::{Changing, QueuePosition},
    stripes::Stripes,
    sync::{AtomicU64, Mutex, MutexGuard, Ordering},
};
use crate::{
    Counters, Token, Transition,
    engine::{Engine, No},
};

#[derive(Debug)]
pub(crate) struct Switch {
    words: OwnLine<Words>,
    answers: Stripes,
    engine: OwnLine<Mutex<Engine>>,
}

/// What everyone reads; written only when it changes, so that all threads may keep a copy.
#[derive(Debug)]
struct Words {
    position: AtomicU64,
    standing: QueuePosition,
}

/// Keeps what everyone reads off the cache line that the lock is fought over on. 128 bytes: x86
/// fetches lines in pairs, and Apple's are that long.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct OwnLine<T>(pub(crate) T);

/// What the engine says to everyone, in one word: its generation, and two flags below that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position(u64);

impl Position {
    const LETS_EVERYONE_THROUGH: u64 = 1;
    const QUIET: u64 = 2;

    fn of(engine: &Engine) -> Self {
        let through = u64::from(engine.lets_everyone_through()) * Self::LETS_EVERYONE_THROUGH;
        let quiet = u64::from(engine.is_quiet()) * Self::QUIET;
        Self((engine.generation() << 2) | through | quiet)
    }

    fn generation(self) -> u64 {
        self.0 >> 2
    }

    fn lets_everyone_through(self) -> bool {
        self.0 & Self::LETS_EVERYONE_THROUGH != 0
    }

    /// Whether an answer to an attempt of `generation` changes nothing.
    fn is_quiet_for(self, generation: u64) -> bool {
        self.0 & Self::QUIET != 0 && self.generation() == generation
    }
}

impl Switch {
    /// `stripes`: how many threads may count answers without getting into each other's way.
    pub(crate) fn new(engine: Engine, stripes: usize) -> Self {
        let words = Words {
            position: AtomicU64::new(Position::of(&engine).0),
            standing: QueuePosition::new(engine.standing_no()),
        };
        let (words, engine) = (OwnLine(words), OwnLine(Mutex::new(engine)));
        Self { words, answers: Stripes::new(stripes), engine }
    }

    /// A token, if everyone is let through.
    #[inline]
    pub(crate) fn pass(&self) -> Option<Token> {
        let position = self.position();
        position.lets_everyone_through().then(|| Token::free(position.generation()))
    }

    /// Asks for a token; see [`Engine::take`].
    pub(crate) fn take(&self, now: Tick) -> Result<(Token, Option<Transition>), No> {
        self.update(|engine| engine.take(now))
    }

    /// Takes back a token whose attempt was never sent.
    pub(crate) fn give_back(&self, token: Token) {
        if token.is_leased() {
            self.update(|engine| engine.give_back(token));
        }
    }

    /// Counts what came of an attempt, if it changes nothing else; `false` if the engine has to be
    /// asked.
    #[inline]
    pub(crate) fn count(&self, token: &Token, outcome: Outcome) -> bool {
        !token.is_leased()
            && self.position().is_quiet_for(token.generation())
            && self.answers.count(outcome)
    }

    /// Until when every call is rejected, as of some moment ago; [`Tick::ZERO`] if not at all.
    #[inline]
    pub(crate) fn rejects_until(&self) -> Tick {
        self.words.0.standing.until()
    }

    /// The "no" that every call gets at `now`; counts it.
    #[inline]
    pub(crate) fn reject(&self, now: Tick) -> Option<No> {
        let no = match self.words.0.standing.read(now) {
            Ok(no) => no,
            Err(Changing) => self.lock().standing_no().filter(|no| now < no.at),
        }?;
        self.answers.count_rejection();
        Some(no)
    }

    /// Whether it stands as if it had just been made, but for what it has counted.
    pub(crate) fn is_as_new(&self) -> bool {
        self.position().0 & Position::QUIET != 0 && !self.lock().is_forced()
    }

    /// What was counted without asking the engine.
    pub(crate) fn add_answers(&self, counters: &mut Counters) {
        self.answers.add_to(counters);
    }

    /// Lets `act` change the engine and publishes what it says then, in one critical section: an
    /// older word must never overwrite a newer one.
    pub(crate) fn update<T>(&self, act: impl FnOnce(&mut Engine) -> T) -> T {
        let mut engine = self.lock();
        let result = act(&mut engine);
        let words = &self.words.0;
        words.standing.publish(engine.standing_no());
        let position = Position::of(&engine).0;
        // Between the read and the write nobody else writes.
        if words.position.load(Ordering::Relaxed) != position {
            words.position.store(position, Ordering::Release);
        }
        result
    }

    // A panic elsewhere leaves the engine in order: no caller's code runs under the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Engine> {
        self.engine.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn position(&self) -> Position {
        Position(self.words.0.position.load(Ordering::Acquire))
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
