//! The threads that make calls: one runtime each, for the whole run, since some services keep timers
//! from one call to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::Runner;
use crate::runtime;

/// Threads that wait for work.
#[derive(Debug, Default)]
pub(crate) struct Crew {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    work: Sender<Work>,
    done: Receiver<(Runner, Span)>,
}

/// From when to when a thread made calls.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: Instant,
    to: Instant,
}

struct Work {
    runner: Runner,
    calls: u64,
    start: Arc<Start>,
}

/// Where all meet before they begin.
#[derive(Debug, Default)]
struct Start {
    awaited: usize,
    there: AtomicUsize,
}

impl Crew {
    /// Lets all runners make `calls` calls at the same time, each on a thread of its own.
    pub(crate) fn run(&mut self, runners: &mut Vec<Runner>, calls: u64) -> Took {
        while self.members.len() < runners.len() {
            self.members.push(Member::new());
        }
        let start = Arc::new(Start { awaited: runners.len(), there: AtomicUsize::new(0) });
        let at_work = self.members.iter().take(runners.len());
        for (member, runner) in at_work.clone().zip(runners.drain(..)) {
            // Fails if the thread has panicked, and so does what follows.
            let _ = member.work.send(Work { runner, calls, start: Arc::clone(&start) });
        }
        let mut spans = Vec::new();
        for member in at_work {
            let (runner, span) = member.finished();
            runners.push(runner);
            spans.push(span);
        }
        took(&spans)
    }
}

/// How long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Took {
    /// The thread that took longest.
    pub(crate) longest: Duration,
    /// Whether all were at it at the same time: the machine may have had no processor for one.
    pub(crate) together: bool,
}

fn took(spans: &[Span]) -> Took {
    let longest = spans.iter().map(|span| span.to - span.from).max().unwrap_or_default();
    let (from, to) = (spans.iter().map(|span| span.from), spans.iter().map(|span| span.to));
    let shared = match (from.max(), to.min()) {
        (Some(from), Some(to)) => to.saturating_duration_since(from),
        _ => Duration::ZERO,
    };
    Took { longest, together: shared >= longest.mul_f64(0.75) }
}

impl Member {
    fn new() -> Self {
        let (work, to_do) = channel::<Work>();
        let (finish, done) = channel();
        thread::spawn(move || {
            runtime::within(|| {
                for Work { mut runner, calls, start } in to_do {
                    start.meet();
                    let span = timed(&mut runner, calls);
                    if finish.send((runner, span)).is_err() {
                        return;
                    }
                }
            });
        });
        Self { work, done }
    }

    #[expect(clippy::expect_used, reason = "a case that panics ends the run")]
    fn finished(&self) -> (Runner, Span) {
        self.done.recv().expect("the thread still runs")
    }
}

impl Start {
    /// Spins: a thread that sleeps here starts when others are half done.
    fn meet(&self) {
        self.there.fetch_add(1, Ordering::AcqRel);
        while self.there.load(Ordering::Acquire) < self.awaited {
            thread::yield_now();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is real time, on no runtime's clock"
)]
fn timed(runner: &mut Runner, calls: u64) -> Span {
    let from = Instant::now();
    runner(calls);
    Span { from, to: Instant::now() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an instant to count from")]
    fn spans_that_do_not_coincide_are_detected() {
        let zero = Instant::now();
        let span = |from, to| Span {
            from: zero + Duration::from_millis(from),
            to: zero + Duration::from_millis(to),
        };
        let of = |longest, together| Took { longest: Duration::from_millis(longest), together };
        assert_eq!(took(&[span(0, 10)]), of(10, true));
        assert_eq!(took(&[span(0, 10), span(1, 11)]), of(10, true));
        assert_eq!(took(&[span(0, 10), span(4, 14)]), of(10, false));
        assert_eq!(took(&[span(0, 10), span(10, 20)]), of(10, false));
    }

    #[test]
    fn every_runner_makes_its_calls_and_comes_back() {
        let count = Arc::new(AtomicU64::new(0));
        let runner = || -> Runner {
            let count = Arc::clone(&count);
            Box::new(move |calls| {
                count.fetch_add(calls, Ordering::Relaxed);
            })
        };
        let (mut crew, mut runners) = (Crew::default(), vec![runner(), runner()]);
        crew.run(&mut runners, 5);
        crew.run(&mut runners, 2);
        assert_eq!((count.load(Ordering::Relaxed), runners.len()), (14, 2));
    }
}
