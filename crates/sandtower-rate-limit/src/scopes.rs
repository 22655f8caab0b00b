use std::time::Duration;

use sandtower_core::{Scope, Seed, Tick};

use crate::estimate::Estimate;

/// Scopes of one operation that are kept apart.
const MOST: usize = 64;

/// What is known of the server's limits on one operation, by scope, in bounded memory.
///
/// A scope that is held or paced keeps its row. When all rows are such, further scopes share one:
/// what holds one of them holds all of them, and none is forgotten.
#[derive(Debug)]
pub(crate) struct Scopes {
    rows: Vec<(Scope, Estimate)>,
    shared: Option<Box<Estimate>>,
    seed: Seed,
    longest_hold: Duration,
    believed_for: Duration,
}

impl Scopes {
    pub(crate) fn new(seed: Seed, longest_hold: Duration, believed_for: Duration) -> Self {
        Self { rows: Vec::new(), shared: None, seed, longest_hold, believed_for }
    }

    /// What is known of `scope`, if anything is and it is not stale.
    #[inline]
    pub(crate) fn known(&mut self, scope: Scope, now: Tick) -> Option<&mut Estimate> {
        let believed_for = self.believed_for;
        self.get_mut(scope).filter(|estimate| !estimate.is_stale(now, believed_for))
    }

    pub(crate) fn get_mut(&mut self, scope: Scope) -> Option<&mut Estimate> {
        let row = self.rows.iter_mut().find(|(other, _)| *other == scope);
        row.map(|(_, estimate)| estimate).or(self.shared.as_deref_mut())
    }

    /// The row of `scope`, a fresh one if need be, and whether this is the first scope for which
    /// there was no row of its own.
    pub(crate) fn at(&mut self, scope: Scope, now: Tick) -> (&mut Estimate, bool) {
        let believed_for = self.believed_for;
        if self.shared.as_ref().is_some_and(|shared| !shared.protects(now, believed_for)) {
            self.shared = None;
        }
        let fresh = || Estimate::new(self.seed.rng(), self.longest_hold);
        if let Some(here) = self.rows.iter().position(|(other, _)| *other == scope) {
            let row = &mut self.rows[here].1;
            if row.is_stale(now, believed_for) {
                *row = fresh();
            }
            return (row, false);
        }
        // A scope that shares a row stays with it while that holds.
        let here = if self.shared.is_some() { None } else { self.room(now) };
        match here {
            Some(here) => {
                let row = (scope, fresh());
                match self.rows.get_mut(here) {
                    Some(old) => *old = row,
                    None => self.rows.push(row),
                }
                (&mut self.rows[here].1, false)
            }
            None => {
                let is_new = self.shared.is_none();
                (self.shared.get_or_insert_with(|| Box::new(fresh())), is_new)
            }
        }
    }

    /// Where a row can be put: of those that hold nothing back, the one that was silent for longest
    /// makes room.
    fn room(&self, now: Tick) -> Option<usize> {
        if self.rows.len() < MOST {
            return Some(self.rows.len());
        }
        let rows = self.rows.iter().enumerate();
        let idle = rows.filter(|(_, (_, row))| !row.protects(now, self.believed_for));
        idle.min_by_key(|(_, (_, row))| row.heard()).map(|(here, _)| here)
    }

    /// Whether any scope is held or paced at `now`.
    pub(crate) fn protects(&self, now: Tick) -> bool {
        let mut all = self.rows.iter().map(|(_, row)| row).chain(self.shared.as_deref());
        all.any(|row| row.protects(now, self.believed_for))
    }

    /// The latest instant until which anything is held back at `now`.
    pub(crate) fn opens(&self) -> Tick {
        let all = self.rows.iter().map(|(_, row)| row).chain(self.shared.as_deref());
        all.map(Estimate::opens).max().unwrap_or(Tick::ZERO)
    }

    /// All scopes that the server holds at `now`, and until when.
    pub(crate) fn held(&self, now: Tick) -> impl Iterator<Item = (Scope, Tick)> {
        let rows = self.rows.iter().map(|(scope, row)| (*scope, row.held()));
        rows.filter(move |(_, until)| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use sandtower_core::{Completion, Verdict};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> Tick {
        Tick::ZERO + Duration::from_secs(seconds)
    }

    fn scopes() -> Scopes {
        Scopes::new(Seed::fixed(1), HOUR, HOUR)
    }

    /// Whether hearing `verdict` of `scope` at `now` was the first for which there is no row.
    fn hear(scopes: &mut Scopes, scope: u64, verdict: Verdict, now: Tick) -> bool {
        let (row, is_shared) = scopes.at(Scope::new(scope), now);
        row.learn(&Completion::new(verdict, now, now));
        is_shared
    }

    fn is_held(scopes: &mut Scopes, scope: u64, now: Tick) -> bool {
        scopes.known(Scope::new(scope), now).is_some_and(|row| now < row.opens())
    }

    #[test]
    fn no_number_of_scopes_makes_it_grow() {
        for verdict in [Verdict::success(), Verdict::throttled()] {
            let mut scopes = scopes();
            for id in 0..10_000 {
                hear(&mut scopes, id, verdict, at(id / 100));
            }
            assert_eq!(scopes.rows.len(), MOST);
        }
    }

    #[test]
    fn the_scope_that_was_silent_for_longest_makes_room() {
        let mut scopes = scopes();
        for id in 0..MOST as u64 {
            hear(&mut scopes, id, Verdict::success(), at(id + 10));
        }
        hear(&mut scopes, 0, Verdict::success(), at(100));
        hear(&mut scopes, 5_000, Verdict::success(), at(101));
        let mut is_known = |id| scopes.known(Scope::new(id), at(101)).is_some();
        assert!(is_known(0) && is_known(5_000) && is_known(2) && !is_known(1));
    }

    #[test]
    fn a_scope_that_is_held_stays_held_however_many_others_are_heard_of() {
        let throttled = Verdict::throttled().retry_after(Duration::from_secs(30));
        for verdict in [Verdict::success(), throttled] {
            let mut scopes = scopes();
            hear(&mut scopes, 1, throttled, at(0));
            for id in 2..1_000 {
                hear(&mut scopes, id, verdict, at(1));
            }
            for id in (1..1_000).filter(|_| verdict == throttled).chain([1]) {
                assert!(is_held(&mut scopes, id, at(29)), "{id}");
            }
        }
    }

    #[test]
    fn that_scopes_share_a_row_is_said_once_and_ends_with_their_hold() {
        let throttled = Verdict::throttled().retry_after(Duration::from_secs(30));
        let mut scopes = Scopes::new(Seed::fixed(1), HOUR, Duration::from_secs(60));
        let heard = (0..200).filter(|&id| hear(&mut scopes, id, throttled, at(id / 10)));
        assert_eq!(heard.collect::<Vec<_>>(), [MOST as u64]);
        assert!(is_held(&mut scopes, 5_000, at(21)));
        // All of them are forgotten by now, and each has a row of its own again.
        assert!(!hear(&mut scopes, 5_000, throttled, at(1_000)));
        assert!(is_held(&mut scopes, 5_000, at(1_001)));
        assert!(!is_held(&mut scopes, 5_001, at(1_001)));
    }
}
