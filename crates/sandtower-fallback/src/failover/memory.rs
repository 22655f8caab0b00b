//! Which place works: a pure engine.

use std::time::Duration;

use sandtower_core::{Backoff, Rng, Tick};

/// Remembers where calls start.
///
/// Calls start at the current place. A call that fails there and gets its response elsewhere makes that
/// place current for all. Away from the first place, one call at a time, which holds a lease, goes through
/// the places from the first on: where it gets its response, all start from then.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    places: usize,
    /// Drawn each time: processes that left together do not return together.
    return_after: Backoff,
    rng: Rng,
    lease: Duration,
    seat: Seat,
    /// When the next call probes the first place. Unused at the first place.
    look_at: Tick,
    look: Option<Look>,
    looks: u64,
    moves: u64,
}

/// Where calls start, in one word. Results of calls that started under an older value are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) place: usize,
    pub(super) generation: u64,
}

/// A call that probes for the way back.
#[derive(Clone, Copy, Debug)]
struct Look {
    number: u64,
    until: Tick,
}

/// Where one call starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) seat: Seat,
    /// The number of its lease, if it probes.
    look: Option<u64>,
}

/// The current place changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Memory {
    pub(super) fn new(places: usize, return_after: Duration, lease: Duration, rng: Rng) -> Self {
        let return_after = Backoff::constant(return_after).jitter();
        let seat = Seat { place: 0, generation: 0 };
        let (look_at, look, looks, moves) = (Tick::MAX, None, 0, 0);
        Self { places, return_after, rng, lease, seat, look_at, look, looks, moves }
    }

    pub(super) fn seat(&self) -> Seat {
        self.seat
    }

    pub(super) fn looks(&self) -> u64 {
        self.looks
    }

    pub(super) fn moves(&self) -> u64 {
        self.moves
    }

    /// Where a call at `now` starts. A route that [probes](Route::looks) has to end in
    /// [`responded`](Self::responded), [`lost`](Self::lost) or [`over`](Self::over).
    pub(super) fn begin(&mut self, now: Tick) -> Route {
        let is_leased = self.look.is_some_and(|look| now < look.until);
        if self.seat.place == 0 || now < self.look_at || is_leased {
            return Route::at(self.seat);
        }
        self.looks += 1;
        self.look = Some(Look { number: self.looks, until: now + self.lease });
        Route { seat: self.seat, look: Some(self.looks) }
    }

    /// A call got its response at `place`, and at none before it.
    pub(super) fn responded(&mut self, route: &Route, place: usize, now: Tick) -> Option<Move> {
        if !self.is_current(route, now) {
            return None;
        }
        if place != self.seat.place {
            return Some(self.move_to(place, now));
        }
        if route.looks() {
            self.end_look(now);
        }
        None
    }

    /// A call failed at `place` and may not be sent elsewhere: the next one starts elsewhere.
    pub(super) fn lost(&mut self, route: &Route, place: usize, now: Tick) -> Option<Move> {
        if !self.is_current(route, now) {
            return None;
        }
        if place == self.seat.place && self.places > 1 {
            return Some(self.move_to((place + 1) % self.places, now));
        }
        if route.looks() {
            self.end_look(now);
        }
        None
    }

    /// A call that probed failed everywhere, or was dropped.
    pub(super) fn over(&mut self, route: &Route, now: Tick) {
        if route.looks() && self.is_current(route, now) {
            self.end_look(now);
        }
    }

    /// Returns to the first place, as at the start.
    pub(super) fn reset(&mut self, now: Tick) -> Option<Move> {
        (self.seat.place != 0).then(|| self.move_to(0, now))
    }

    /// Whether the result of `route` still counts.
    fn is_current(&self, route: &Route, now: Tick) -> bool {
        let is_present = route.seat == self.seat;
        match route.look {
            None => is_present,
            Some(number) => {
                let holds = |look: Look| look.number == number && now < look.until;
                is_present && self.look.is_some_and(holds)
            }
        }
    }

    fn move_to(&mut self, place: usize, now: Tick) -> Move {
        let from = self.seat.place;
        self.seat = Seat { place, generation: self.seat.generation + 1 };
        self.moves += 1;
        self.end_look(now);
        Move { from, to: place }
    }

    fn end_look(&mut self, now: Tick) {
        self.look = None;
        self.look_at = now + self.return_after.delay(0, &mut self.rng);
    }
}

impl Route {
    /// The route of a call that does not probe.
    pub(super) fn at(seat: Seat) -> Self {
        Self { seat, look: None }
    }

    /// Whether it probes.
    pub(super) fn looks(&self) -> bool {
        self.look.is_some()
    }

    /// The place of its attempt number `step`, from 0: all `places`, each once.
    pub(super) fn place(&self, step: usize, places: usize) -> Option<usize> {
        let begin = if self.looks() { 0 } else { self.seat.place };
        let place = match step {
            0 => begin,
            step if step <= begin => step - 1,
            step => step,
        };
        (step < places).then_some(place)
    }
}

#[cfg(test)]
mod tests;
