use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandtower_core::{RequestInfo, Tick, Verdict};
use serde::Serialize;

use super::config::FailoverConfig;
use super::memory::{Memory, Move, Route, Seat};
use crate::handle::TARGET;
use crate::when::When;

/// Reads and controls a [`Failover`](crate::Failover). Cheap to clone.
#[derive(Clone, Debug)]
pub struct FailoverHandle {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    config: FailoverConfig,
    places: Box<[Place]>,
    memory: Mutex<Memory>,
    /// The epoch of `memory`, written under its lock: most calls start and end at the first place, and read
    /// nothing else.
    seat: AtomicU64,
}

#[derive(Debug)]
struct Place {
    name: Arc<str>,
    failures: AtomicU64,
    took_over: AtomicU64,
}

/// A snapshot of a [`Failover`](crate::Failover), with counters since its creation. Calls that got their
/// response where they started are not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FailoverSnapshot {
    /// The configured name.
    pub name: String,
    /// Where calls begin now.
    pub current: String,
    /// How often that changed.
    pub moves: u64,
    /// Calls that probed whether an earlier place is back.
    pub probes: u64,
    /// The places, in order.
    pub places: Vec<PlaceSnapshot>,
}

/// A snapshot of one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlaceSnapshot {
    /// The configured name.
    pub name: String,
    /// Whether calls begin here now.
    pub current: bool,
    /// Failures here that another place was tried for, or would have been.
    pub failures: u64,
    /// Calls that got their response here after they had failed elsewhere.
    pub took_over: u64,
}

impl FailoverHandle {
    pub(super) fn new(config: FailoverConfig, names: impl Iterator<Item = Arc<str>>) -> Self {
        let place =
            |name| Place { name, failures: AtomicU64::new(0), took_over: AtomicU64::new(0) };
        let places: Box<[Place]> = names.map(place).collect();
        let memory =
            Memory::new(places.len(), config.return_after, config.lease, config.seed.rng());
        let seat = AtomicU64::new(pack(memory.seat()));
        Self { state: Arc::new(State { config, places, memory: Mutex::new(memory), seat }) }
    }

    /// The place where calls currently start.
    pub fn current(&self) -> &str {
        self.place(self.seat().place)
    }

    /// A snapshot.
    pub fn snapshot(&self) -> FailoverSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let memory = self.lock();
        let seat = memory.seat().place;
        let place = |(at, place): (usize, &Place)| PlaceSnapshot {
            name: place.name.to_string(),
            current: at == seat,
            failures: read(&place.failures),
            took_over: read(&place.took_over),
        };
        FailoverSnapshot {
            name: self.state.config.name.to_string(),
            current: self.place(seat).to_owned(),
            moves: memory.moves(),
            probes: memory.looks(),
            places: self.state.places.iter().enumerate().map(place).collect(),
        }
    }

    /// Returns to the first place at once. Results of calls in flight no longer count.
    pub fn reset(&self) {
        self.change(|memory| memory.reset(Tick::now()));
    }

    pub(super) fn when(&self) -> When {
        self.state.config.when
    }

    pub(super) fn places(&self) -> usize {
        self.state.places.len()
    }

    pub(super) fn shared_name(&self, place: usize) -> Arc<str> {
        Arc::clone(&self.state.places[place].name)
    }

    /// Where a call begins.
    pub(super) fn begin(&self) -> Journey {
        let seat = self.seat();
        let route = match seat.place {
            0 => Route::at(seat),
            _ => self.lock().begin(Tick::now()),
        };
        Journey { handle: self.clone(), route, step: 0, ended: false }
    }

    fn failed(&self, place: usize) {
        self.state.places[place].failures.fetch_add(1, Ordering::Relaxed);
    }

    fn change(&self, change: impl FnOnce(&mut Memory) -> Option<Move>) {
        let moved = {
            let mut memory = self.lock();
            let moved = change(&mut memory);
            self.state.seat.store(pack(memory.seat()), Ordering::Release);
            moved
        };
        if let Some(Move { from, to }) = moved {
            let name = &*self.state.config.name;
            let (from, to) = (self.place(from), self.place(to));
            tracing::warn!(target: TARGET, name, from, to, "failed over to another place");
        }
    }

    fn place(&self, index: usize) -> &str {
        &self.state.places[index].name
    }

    fn seat(&self) -> Seat {
        unpack(self.state.seat.load(Ordering::Acquire))
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.state.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call on its way through the places. If dropped before its end, it releases its lease.
#[derive(Debug)]
pub(super) struct Journey {
    handle: FailoverHandle,
    route: Route,
    step: usize,
    ended: bool,
}

impl Journey {
    pub(super) fn handle(&self) -> &FailoverHandle {
        &self.handle
    }

    /// The current place.
    pub(super) fn place(&self) -> usize {
        // A journey never moves past the last place.
        self.route.place(self.step, self.handle.places()).unwrap_or(0)
    }

    /// The next place.
    pub(super) fn next(&self) -> Option<usize> {
        self.route.place(self.step + 1, self.handle.places())
    }

    /// Whether it failed elsewhere before.
    pub(super) fn has_moved(&self) -> bool {
        self.step > 0
    }

    /// Moves on after a failure here.
    pub(super) fn go_on(&mut self, info: &RequestInfo, verdict: &Verdict) {
        let from = self.place();
        self.handle.failed(from);
        self.step += 1;
        let (operation, outcome) = (info.operation.name(), verdict.outcome.label());
        let (from, to) = (self.handle.place(from), self.handle.place(self.place()));
        tracing::info!(target: TARGET, operation, outcome, from, to, "trying another place");
    }

    /// Ends with a response of the current place, good or bad.
    pub(super) fn responded(&mut self) {
        self.ended = true;
        let (route, place) = (self.route, self.place());
        if self.has_moved() {
            self.handle.state.places[place].took_over.fetch_add(1, Ordering::Relaxed);
        }
        if self.has_moved() || route.looks() {
            self.handle.change(|memory| memory.responded(&route, place, Tick::now()));
        }
    }

    /// Ends with a failure that may not be sent elsewhere although there is another place.
    pub(super) fn lost(&mut self) {
        self.ended = true;
        let (route, place) = (self.route, self.place());
        self.handle.failed(place);
        self.handle.change(|memory| memory.lost(&route, place, Tick::now()));
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        if self.route.looks() && !self.ended {
            self.handle.lock().over(&self.route, Tick::now());
        }
    }
}

const PLACE_BITS: u32 = 8;

fn pack(seat: Seat) -> u64 {
    (seat.generation << PLACE_BITS) | seat.place as u64
}

fn unpack(word: u64) -> Seat {
    let place = (word & ((1 << PLACE_BITS) - 1)) as usize;
    Seat { place, generation: word >> PLACE_BITS }
}
