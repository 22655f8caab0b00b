//! The ledger of a mock: the state of every instance, reservations, counts, violations.
//!
//! Nothing here knows requests or responses, and no lock is held while a waker runs.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Wake, Waker},
};

use super::{counts::Counts, script::Instance};
use crate::{Rule, Violation};

/// The state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QueuePosition {
    /// It has to be polled ready before it may be called.
    Unready,
    /// It is queued for a reservation.
    InLine,
    /// It was granted a reservation and woken, but not polled since.
    Granted,
    /// It may be called once.
    Ready,
    /// Its readiness failed: it has to be dropped.
    Failed,
}

#[derive(Debug)]
struct Entry {
    instance: Instance,
    standing: QueuePosition,
    calls: u64,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Book {
    counts: Counts,
    entries: BTreeMap<u64, Entry>,
    instances_made: u64,
    /// Reservations in use: by instances that are granted or ready, and by calls in flight.
    taken: usize,
    limit: Option<usize>,
    line: VecDeque<u64>,
    /// Incremented when the script of readiness is replaced, so that waiting instances call it again.
    edition: u64,
    violations: Vec<Violation>,
    violations_shown: usize,
}

/// Shared by the instances of a mock, their response futures and their handle.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
}

impl Ledger {
    pub(crate) fn enter(&self, made_from: Option<Instance>) -> Instance {
        let mut book = self.lock();
        let instance =
            Instance { number: book.instances_made, made_from: made_from.map(|from| from.number) };
        book.instances_made += 1;
        book.counts.clones += u64::from(made_from.is_some());
        book.counts.instances_live += 1;
        let entry = Entry { instance, standing: QueuePosition::Unready, calls: 0, waker: None };
        book.entries.insert(instance.number, entry);
        instance
    }

    pub(crate) fn leave(&self, instance: Instance) {
        self.update(|book| {
            book.counts.instances_live -= 1;
            let Some(entry) = book.entries.remove(&instance.number) else { return };
            match entry.standing {
                QueuePosition::Unready | QueuePosition::Failed => {}
                QueuePosition::InLine => book.line.retain(|number| *number != instance.number),
                QueuePosition::Granted | QueuePosition::Ready => book.taken -= 1,
            }
        });
    }

    /// Records a poll of readiness, and the waker for a change of scripts. Returns whether the instance is
    /// ready already, and the current edition of the script.
    pub(crate) fn polled(
        &self,
        instance: Instance,
        waker: &Waker,
    ) -> Result<(bool, u64), Violation> {
        let mut book = self.lock();
        book.counts.readiness_polls += 1;
        let edition = book.edition;
        let Some(entry) = book.entries.get_mut(&instance.number) else {
            return Ok((false, edition));
        };
        let standing = entry.standing;
        match standing {
            QueuePosition::Failed => {
                let violation = failed("polled", instance);
                book.violations.push(violation.clone());
                return Err(violation);
            }
            QueuePosition::Ready => {}
            QueuePosition::Unready | QueuePosition::InLine | QueuePosition::Granted => {
                entry.waker = Some(waker.clone());
            }
        }
        Ok((standing == QueuePosition::Ready, edition))
    }

    /// Records that an instance failed to become ready: from here on it may only be dropped.
    pub(crate) fn fail(&self, instance: Instance) {
        if let Some(entry) = self.lock().entries.get_mut(&instance.number) {
            entry.standing = QueuePosition::Failed;
            entry.waker = None;
        }
    }

    /// Makes an instance ready, if there is a reservation for it and no other instance before it.
    pub(crate) fn reserve(&self, instance: Instance) -> Poll<()> {
        let mut book = self.lock();
        let Book { entries, line, taken, limit, .. } = &mut *book;
        let Some(entry) = entries.get_mut(&instance.number) else { return Poll::Pending };
        match entry.standing {
            QueuePosition::InLine | QueuePosition::Failed => return Poll::Pending,
            QueuePosition::Unready
                if limit.is_some_and(|limit| *taken >= limit || !line.is_empty()) =>
            {
                entry.standing = QueuePosition::InLine;
                line.push_back(instance.number);
                return Poll::Pending;
            }
            QueuePosition::Unready => *taken += 1,
            QueuePosition::Granted | QueuePosition::Ready => {}
        }
        entry.standing = QueuePosition::Ready;
        entry.waker = None;
        Poll::Ready(())
    }

    /// Turns an instance's readiness into a call; returns how many calls came before it.
    pub(crate) fn call(self: &Arc<Self>, instance: Instance) -> Result<(u64, InFlight), Violation> {
        let mut book = self.lock();
        let number = book.counts.calls;
        let Some(entry) = book.entries.get_mut(&instance.number) else {
            return Err(Violation::new(Rule::NoPanics, "a dropped instance was called"));
        };
        if entry.standing != QueuePosition::Ready {
            let violation = match entry.standing {
                QueuePosition::Failed => failed("called", instance),
                _ => not_ready(entry, number),
            };
            book.violations.push(violation.clone());
            return Err(violation);
        }
        entry.standing = QueuePosition::Unready;
        entry.calls += 1;
        let counts = &mut book.counts;
        counts.calls += 1;
        counts.in_flight += 1;
        counts.in_flight_max = counts.in_flight_max.max(counts.in_flight);
        counts.futures_live += 1;
        drop(book);
        Ok((number, InFlight { ledger: Arc::clone(self), completed: false }))
    }

    pub(crate) fn limit(&self, limit: Option<usize>) {
        self.update(|book| book.limit = limit);
    }

    /// The script of readiness was replaced: waiting instances call it again.
    pub(crate) fn new_edition(&self) {
        let wakers: Vec<_> = {
            let mut book = self.lock();
            book.edition += 1;
            let wakers: Vec<_> =
                book.entries.values_mut().filter_map(|entry| entry.waker.take()).collect();
            book.counts.wakes += wakers.len() as u64;
            wakers
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn counts(&self) -> Counts {
        let book = self.lock();
        let standing = |wanted: QueuePosition| {
            book.entries.values().filter(|entry| entry.standing == wanted).count() as u64
        };
        Counts {
            reservations_held: standing(QueuePosition::Ready),
            reservations_awaited: standing(QueuePosition::InLine),
            ..book.counts
        }
    }

    /// The instances that hold a reservation.
    pub(crate) fn holders(&self) -> Vec<Instance> {
        let book = self.lock();
        let ready = book.entries.values().filter(|entry| entry.standing == QueuePosition::Ready);
        ready.map(|entry| entry.instance).collect()
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut book = self.lock();
        book.violations_shown = book.violations.len();
        book.violations.clone()
    }

    /// The first violation that was not read.
    pub(crate) fn unseen_violation(&self) -> Option<Violation> {
        let book = self.lock();
        book.violations.get(book.violations_shown).cloned()
    }

    /// Changes the ledger, then passes freed reservations to queued instances.
    fn update(&self, change: impl FnOnce(&mut Book)) {
        let wakers = {
            let mut book = self.lock();
            change(&mut book);
            book.grant()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    // A panic elsewhere leaves the ledger consistent: no caller's code runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// First come, first served; a newcomer never gets what was freed for the queue.
    fn grant(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while self.limit.is_none_or(|limit| self.taken < limit) {
            let Some(first) = self.line.pop_front() else { break };
            let Some(entry) = self.entries.get_mut(&first) else { continue };
            entry.standing = QueuePosition::Granted;
            self.taken += 1;
            wakers.extend(entry.waker.take());
        }
        self.counts.wakes += wakers.len() as u64;
        wakers
    }
}

fn failed(used: &str, instance: Instance) -> Violation {
    let seen = format!(
        "an instance of the inner service was {used} after its `poll_ready` had failed ({instance})"
    );
    Violation::new(Rule::FailedInstancesAreNotUsed, seen)
}

fn not_ready(entry: &Entry, call: u64) -> Violation {
    let Entry { instance, calls, .. } = entry;
    if *calls > 0 {
        let seen = format!(
            "an instance of the inner service was called again without being polled ready since \
             its last call ({instance}, called {calls} times before, call {call})"
        );
        Violation::new(Rule::OneCallPerReadiness, seen)
    } else {
        let seen = format!(
            "an instance of the inner service was called that was not itself polled ready \
             ({instance}, call {call})"
        );
        Violation::new(Rule::OnlyReadyInstancesAreCalled, seen)
    }
}

/// A call in flight, with the reservation that it took over.
#[derive(Debug)]
pub(crate) struct InFlight {
    ledger: Arc<Ledger>,
    completed: bool,
}

impl InFlight {
    pub(crate) fn complete(&mut self) {
        self.completed = true;
        self.ledger.update(|book| {
            book.counts.responses += 1;
            book.counts.in_flight -= 1;
            book.taken -= 1;
        });
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let completed = self.completed;
        self.ledger.update(|book| {
            book.counts.futures_live -= 1;
            if !completed {
                book.counts.dropped_early += 1;
                book.counts.in_flight -= 1;
                book.taken -= 1;
            }
        });
    }
}

/// A waker for the mock's timers, so that their wake-ups are counted too.
#[derive(Debug)]
struct CountedWaker {
    ledger: Arc<Ledger>,
    waker: Waker,
}

impl Wake for CountedWaker {
    fn wake(self: Arc<Self>) {
        self.ledger.lock().counts.wakes += 1;
        self.waker.wake_by_ref();
    }
}

pub(crate) fn counted(ledger: &Arc<Ledger>, waker: &Waker) -> Waker {
    Arc::new(CountedWaker { ledger: Arc::clone(ledger), waker: waker.clone() }).into()
}
