use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Verdict;

/// The end of a response whose outcome stands only there: the last message of a stream, its trailers.
///
/// What reads the response holds the [`EndOfStreamReporter`] and reports the verdict; what has to know
/// it [waits](EndOfStream::then) for it. Cheap to clone. It costs allocations, which are for streams
/// alone: other responses have no end of stream.
///
/// ```
/// use std::sync::mpsc;
/// use sandtower_core::{Effect, EndOfStream, Verdict};
///
/// let (end, reporter) = EndOfStream::of(Verdict::success());
/// let (sender, verdicts) = mpsc::channel();
/// end.then(move |verdict| sender.send(verdict).unwrap());
///
/// reporter.report(Verdict::transient(Effect::Maybe));
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

/// Reports how a response ended.
///
/// Dropped without a report, as when the response is not read to its end, what its head said stands.
#[derive(Debug)]
#[must_use = "dropping it reports that the head's verdict stands"]
pub struct EndOfStreamReporter {
    end: EndOfStream,
    head: Verdict,
}

impl EndOfStream {
    /// The end of a response whose head said `head`, and what reports it.
    pub fn of(head: Verdict) -> (Self, EndOfStreamReporter) {
        let end = Self { state: Arc::new(Mutex::new(State::Awaited(Vec::new()))) };
        (end.clone(), EndOfStreamReporter { end, head })
    }

    /// Calls `told` with the verdict: at the end, where the response is read, or at once if that has
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

    /// Only the first report counts.
    fn tell(&self, verdict: Verdict) {
        let mut state = self.lock();
        if let State::Over(_) = *state {
            return;
        }
        let before = std::mem::replace(&mut *state, State::Over(verdict));
        // Never under the lock: gates record it, and wake others.
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
    /// The response ended so.
    pub fn report(self, verdict: Verdict) {
        self.end.tell(verdict);
    }
}

impl Drop for EndOfStreamReporter {
    fn drop(&mut self) {
        self.end.tell(self.head);
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

    fn listen(end: &EndOfStream) -> Arc<Mutex<Vec<Verdict>>> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        end.then(move |verdict| told.lock().unwrap().push(verdict));
        heard
    }

    #[test]
    fn all_that_wait_hear_the_verdict_once_and_what_comes_later_at_once() {
        let (end, reporter) = EndOfStream::of(Verdict::success());
        let early = [listen(&end), listen(&end)];
        assert!(early.iter().all(|heard| heard.lock().unwrap().is_empty()));
        reporter.report(FAILED);
        let late = listen(&end);
        for heard in early.iter().chain([&late]) {
            assert_eq!(*heard.lock().unwrap(), [FAILED]);
        }
    }

    #[test]
    fn of_a_response_that_is_not_read_to_its_end_the_head_stands() {
        let (end, reporter) = EndOfStream::of(Verdict::success());
        let heard = listen(&end);
        drop(reporter);
        assert_eq!(*heard.lock().unwrap(), [Verdict::success()]);
    }
}
