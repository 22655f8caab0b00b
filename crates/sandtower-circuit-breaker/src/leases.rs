use std::{num::NonZeroU64, time::Duration};

use sandtower_core::Tick;

/// The attempts that a breaker counts while it lets only some out, each with the instant at which
/// its place is free again: the probes of a half-open breaker, and the first calls after it closed.
///
/// A place whose lease has expired is free, whatever became of its attempt: nothing that hangs, is
/// lost or forgotten can keep the next one from being sent.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    places: u32,
    term: Duration,
    /// At most `places`; some may have expired.
    out: Vec<Lease>,
    next: LeaseId,
}

/// Which place. No two attempts of a breaker have the same.
pub(crate) type LeaseId = NonZeroU64;

#[derive(Clone, Copy, Debug)]
struct Lease {
    id: LeaseId,
    expires: Tick,
}

impl Leases {
    /// Room for `places` attempts at a time, each for `term` at most.
    pub(crate) fn new(places: u32, term: Duration) -> Self {
        Self { places, term, out: Vec::new(), next: LeaseId::MIN }
    }

    /// When the next place is free: [`Tick::ZERO`] if one is already, else the earliest expiry.
    pub(crate) fn free_at(&self) -> Tick {
        if self.out.len() < self.places as usize {
            return Tick::ZERO;
        }
        self.out.iter().map(|lease| lease.expires).min().unwrap_or(Tick::ZERO)
    }

    /// Takes a place; to be asked for only at [`free_at`](Self::free_at) or later. Also tells how
    /// many leases had expired.
    pub(crate) fn grant(&mut self, now: Tick) -> (LeaseId, u64) {
        let before = self.out.len();
        self.out.retain(|lease| now < lease.expires);
        let expired = (before - self.out.len()) as u64;
        debug_assert!(self.out.len() < self.places as usize, "an attempt too many");
        let id = self.next;
        self.next = id.saturating_add(1);
        self.out.push(Lease { id, expires: now + self.term });
        (id, expired)
    }

    /// Frees the place `id`. Says when its lease would have expired; `None` if that place was given
    /// to another already.
    pub(crate) fn end(&mut self, id: LeaseId) -> Option<Tick> {
        let at = self.out.iter().position(|lease| lease.id == id)?;
        Some(self.out.swap_remove(at).expires)
    }

    /// Makes room for one more.
    pub(crate) fn grow(&mut self) {
        self.places = self.places.saturating_add(1);
    }

    /// Voids every lease, and leaves room for `places`.
    pub(crate) fn clear(&mut self, places: u32) {
        self.out.clear();
        self.places = places;
    }

    /// How many attempts may be out at a time.
    pub(crate) fn places(&self) -> u32 {
        self.places
    }

    /// How many places are taken at `now`.
    #[cfg(test)]
    pub(crate) fn taken(&self, now: Tick) -> usize {
        self.out.iter().filter(|lease| now < lease.expires).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_nanos(10);

    fn at(nanos: u64) -> Tick {
        Tick::from_nanos(nanos)
    }

    #[test]
    fn a_full_house_is_free_again_when_the_first_lease_expires() {
        let mut leases = Leases::new(2, TERM);
        leases.grant(at(1));
        assert_eq!(leases.free_at(), Tick::ZERO);
        leases.grant(at(4));
        assert_eq!(leases.free_at(), at(11));
        assert_eq!(leases.grant(at(11)).1, 1, "one has expired");
        assert_eq!(leases.free_at(), at(14));
    }

    #[test]
    fn an_attempt_frees_its_own_place_only() {
        let mut leases = Leases::new(1, TERM);
        let (lost, _) = leases.grant(at(0));
        let (next, _) = leases.grant(at(10));
        assert_eq!(leases.end(lost), None);
        assert_eq!(leases.free_at(), at(20));
        assert_eq!(leases.end(next), Some(at(20)));
        assert_eq!(leases.free_at(), Tick::ZERO);
    }
}
