//! Which place works: pure.

use std::time::Duration;

use sandtower_core::{Backoff, Rng, Tick};

/// Remembers where calls begin.
///
/// Calls begin at the current place. One that fails there and gets its response elsewhere makes that the
/// current place, for all. Away from the first place, one call at a time, which holds a lease, goes
/// through the places from the first on: where it gets its response, all begin from then.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    places: usize,
    /// Drawn each time: processes that left together do not come back together.
    return_after: Backoff,
    rng: Rng,
    lease: Duration,
    seat: Seat,
    /// When the next call looks for a way back. Of no meaning at the first place.
    look_at: Tick,
    look: Option<Look>,
    looks: u64,
    moves: u64,
}

/// Where calls begin, in one word. What was found out by a call that began under an older one changes
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) place: usize,
    pub(super) generation: u64,
}

/// A call that looks for the way back.
#[derive(Clone, Copy, Debug)]
struct Look {
    number: u64,
    until: Tick,
}

/// Where one call begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) seat: Seat,
    /// The number of its lease, if it looks for the way back.
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

    /// Where a call at `now` begins. A route that [looks](Route::looks) has to end in
    /// [`answered`](Self::answered), [`lost`](Self::lost) or [`over`](Self::over).
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
    pub(super) fn answered(&mut self, route: &Route, place: usize, now: Tick) -> Option<Move> {
        if !self.settles(route, now) {
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

    /// A call failed at `place`, and could be sent nowhere else: the next one begins elsewhere.
    pub(super) fn lost(&mut self, route: &Route, place: usize, now: Tick) -> Option<Move> {
        if !self.settles(route, now) {
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

    /// A call that looked came to nothing, or was dropped.
    pub(super) fn over(&mut self, route: &Route, now: Tick) {
        if route.looks() && self.settles(route, now) {
            self.end_look(now);
        }
    }

    /// Begins at the first place again, as at the start.
    pub(super) fn reset(&mut self, now: Tick) -> Option<Move> {
        (self.seat.place != 0).then(|| self.move_to(0, now))
    }

    /// Whether what `route` found out still means anything.
    fn settles(&self, route: &Route, now: Tick) -> bool {
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
    /// The way of a call that looks for nothing.
    pub(super) fn at(seat: Seat) -> Self {
        Self { seat, look: None }
    }

    /// Whether it looks for the way back.
    pub(super) fn looks(&self) -> bool {
        self.look.is_some()
    }

    /// Where its attempt number `step` goes, from 0: through all `places`, each of them once.
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
