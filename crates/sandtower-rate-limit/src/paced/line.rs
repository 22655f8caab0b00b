//! One operation's line: who is in it, and who is next. Pure.

use std::task::Waker;
use std::time::Duration;

use sandtower_core::{Place, RequestInfo, Tick, WaitList};

/// From when on a line that is never empty stands, and the newest are served first: what waits
/// longest has the least use of it.
const STANDS: Duration = Duration::from_secs(1);

/// Those who wait for one operation.
#[derive(Debug, Default)]
pub(crate) struct Line {
    list: WaitList<Waiter>,
    /// Since when it has not been empty.
    since: Option<Tick>,
}

/// Someone in a line.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) info: RequestInfo,
    pub(crate) arrived: Tick,
    pub(crate) waker: Waker,
}

impl Line {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether it was never empty for so long that the newest go first.
    pub(crate) fn stands(&self, now: Tick) -> bool {
        self.since.is_some_and(|since| now.since(since) >= STANDS)
    }

    pub(crate) fn join(&mut self, waiter: Waiter, now: Tick) -> Place {
        self.since.get_or_insert(now);
        self.list.join(waiter.arrived, waiter)
    }

    pub(crate) fn leave(&mut self, place: Place) -> Option<Waiter> {
        let waiter = self.list.leave(place)?;
        if self.list.is_empty() {
            self.since = None;
        }
        Some(waiter)
    }

    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut Waiter> {
        self.list.get_mut(place)
    }

    /// Who waits longest.
    pub(crate) fn oldest(&self) -> Option<Place> {
        self.list.front()
    }

    /// Whose turn it is: the oldest, or the newest once the line stands.
    pub(crate) fn next(&self, now: Tick) -> Option<Place> {
        if self.stands(now) { self.list.back() } else { self.list.front() }
    }

    /// Whether someone who arrived at `arrived` and is not in line yet would be next.
    pub(crate) fn would_be_next(&mut self, arrived: Tick, now: Tick) -> bool {
        let Some(newest) = self.list.back() else { return true };
        let stands = self.stands(now);
        let newest = self.list.get_mut(newest);
        stands && newest.is_some_and(|newest| newest.arrived <= arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::ZERO + Duration::from_millis(millis)
    }

    fn join(line: &mut Line, millis: u64) -> Place {
        let waker = Waker::noop().clone();
        let waiter = Waiter { info: RequestInfo::default(), arrived: at(millis), waker };
        line.join(waiter, at(millis))
    }

    #[test]
    fn the_oldest_goes_first_until_the_line_has_stood_for_a_second() {
        let mut line = Line::default();
        let first = join(&mut line, 0);
        let last = join(&mut line, 10);
        assert_eq!(line.next(at(999)), Some(first));
        assert!(!line.would_be_next(at(999), at(999)));
        assert_eq!(line.next(at(1_000)), Some(last));
        assert!(line.would_be_next(at(1_000), at(1_000)));
        assert!(!line.would_be_next(at(5), at(1_000)));
    }

    #[test]
    fn a_line_that_was_empty_in_between_does_not_stand() {
        let mut line = Line::default();
        let first = join(&mut line, 0);
        line.leave(first);
        join(&mut line, 900);
        assert!(!line.stands(at(1_000)));
        assert!(line.stands(at(1_900)));
    }
}
