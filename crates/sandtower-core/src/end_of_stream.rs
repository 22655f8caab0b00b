use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Verdict;

/// The end of an answer whose outcome stands only there: the last message of a stream, its trailers.
///
/// Whoever reads the answer holds the [`EndOfStreamReporter`] and tells the verdict; whoever has to know
/// [waits](EndOfStream::then) for it. Cheap to clone. It costs allocations, which are for streams alone:
/// other answers have no ending.
///
/// ```
/// use std::sync::mpsc;
/// use sandtower_core::{Effect, EndOfStream, Verdict};
///
/// let (ending, teller) = EndOfStream::of(Verdict::success());
/// let (told, verdicts) = mpsc::channel();
/// ending.then(move |verdict| told.send(verdict).unwrap());
///
/// teller.tell(Verdict::transient(Effect::Maybe));
/// assert_eq!(verdicts.recv(), Ok(Verdict::transient(Effect::Maybe)));
/// ```
#[derive(Clone)]
pub struct EndOfStream {
    state: Arc<Mutex<State>>,
}

enum State {
    Awaited(Vec<Told>),
    Over(Verdict),
}

type Told = Box<dyn FnOnce(Verdict) + Send>;

/// Tells how an answer [ended](Ending).
///
/// Dropped without a word, as when nobody reads the answer to its end, what its head said stands.
#[derive(Debug)]
#[must_use = "dropping it says that the head's verdict stands"]
pub struct EndOfStreamReporter {
    ending: EndOfStream,
    head: Verdict,
}

impl EndOfStream {
    /// The end of an answer of which the head said `head`, and who tells it.
    pub fn of(head: Verdict) -> (Self, EndOfStreamReporter) {
        let ending = Self { state: Arc::new(Mutex::new(State::Awaited(Vec::new()))) };
        (ending.clone(), EndOfStreamReporter { ending, head })
    }

    /// Calls `told` with the verdict: at the end, by whoever reads the answer, or at once if that has
    /// come. It must neither block nor panic.
    pub fn then(&self, told: impl FnOnce(Verdict) + Send + 'static) {
        let mut state = self.lock();
        let verdict = match &mut *state {
            State::Awaited(waiting) => return waiting.push(Box::new(told)),
            State::Over(verdict) => *verdict,
        };
        drop(state);
        told(verdict);
    }

    /// Only the first word counts.
    fn tell(&self, verdict: Verdict) {
        let mut state = self.lock();
        if let State::Over(_) = *state {
            return;
        }
        let before = std::mem::replace(&mut *state, State::Over(verdict));
        // Never under the lock: gates settle, and wake others.
        drop(state);
        if let State::Awaited(waiting) = before {
            waiting.into_iter().for_each(|told| told(verdict));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndOfStreamReporter {
    /// The answer ended so.
    pub fn tell(self, verdict: Verdict) {
        self.ending.tell(verdict);
    }
}

impl Drop for EndOfStreamReporter {
    fn drop(&mut self) {
        self.ending.tell(self.head);
    }
}

impl std::fmt::Debug for EndOfStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.lock() {
            State::Awaited(waiting) => write!(f, "EndOfStream(awaited by {})", waiting.len()),
            State::Over(verdict) => write!(f, "EndOfStream({})", verdict.outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effect;

    const FAILED: Verdict = Verdict::transient(Effect::Maybe);

    fn listen(ending: &EndOfStream) -> Arc<Mutex<Vec<Verdict>>> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        ending.then(move |verdict| told.lock().unwrap().push(verdict));
        heard
    }

    #[test]
    fn all_who_wait_hear_the_verdict_once_and_who_comes_later_at_once() {
        let (ending, teller) = EndOfStream::of(Verdict::success());
        let early = [listen(&ending), listen(&ending)];
        assert!(early.iter().all(|heard| heard.lock().unwrap().is_empty()));
        teller.tell(FAILED);
        let late = listen(&ending);
        for heard in early.iter().chain([&late]) {
            assert_eq!(*heard.lock().unwrap(), [FAILED]);
        }
    }

    #[test]
    fn of_an_answer_that_nobody_reads_to_its_end_the_head_stands() {
        let (ending, teller) = EndOfStream::of(Verdict::success());
        let heard = listen(&ending);
        drop(teller);
        assert_eq!(*heard.lock().unwrap(), [Verdict::success()]);
    }
}
