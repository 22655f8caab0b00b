use std::{num::NonZeroU64, time::Duration};

use sandtower_core::Tick;

/// The slots of a breaker that lets only some attempts be in flight: the probes of a half-open
/// breaker, and the first calls after it closed. Each is taken for the term of a lease.
///
/// A slot whose lease has expired is free, whatever became of its attempt: an attempt that hangs or
/// is lost cannot keep the next one from being sent.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    slots: u32,
    term: Duration,
    /// At most `slots`; some may have expired.
    taken: Vec<Lease>,
    next: LeaseId,
}

/// Which lease. No two attempts of a breaker have the same.
pub(crate) type LeaseId = NonZeroU64;

#[derive(Clone, Copy, Debug)]
struct Lease {
    id: LeaseId,
    since: Tick,
}

impl Leases {
    /// `slots` attempts at a time, each for `term` at most.
    pub(crate) fn new(slots: u32, term: Duration) -> Self {
        Self { slots, term, taken: Vec::new(), next: LeaseId::MIN }
    }

    /// If every slot is taken: since when the one that was taken first. It is free again after the
    /// [term](Self::term).
    pub(crate) fn full_since(&self) -> Option<Tick> {
        if self.taken.len() < self.slots as usize {
            return None;
        }
        self.taken.iter().map(|lease| lease.since).min()
    }

    /// Takes a slot; call it only if one is free or expired. Also returns how many leases had
    /// expired.
    pub(crate) fn grant(&mut self, now: Tick) -> (LeaseId, u64) {
        let before = self.taken.len();
        let term = self.term;
        self.taken.retain(|lease| now < lease.since + term);
        let expired = (before - self.taken.len()) as u64;
        debug_assert!(self.taken.len() < self.slots as usize, "an attempt too many");
        let id = self.next;
        self.next = id.saturating_add(1);
        self.taken.push(Lease { id, since: now });
        (id, expired)
    }

    /// Frees the slot `id`. Returns when it was taken; `None` if another attempt has it already.
    pub(crate) fn end(&mut self, id: LeaseId) -> Option<Tick> {
        let at = self.taken.iter().position(|lease| lease.id == id)?;
        Some(self.taken.swap_remove(at).since)
    }

    /// Adds a slot.
    pub(crate) fn grow(&mut self) {
        self.slots = self.slots.saturating_add(1);
    }

    /// Voids every lease; there are `slots` from now on.
    pub(crate) fn clear(&mut self, slots: u32) {
        self.taken.clear();
        self.slots = slots;
    }

    /// How many attempts may be in flight at a time.
    pub(crate) fn slots(&self) -> u32 {
        self.slots
    }

    /// How long a slot is taken at most.
    pub(crate) fn term(&self) -> Duration {
        self.term
    }

    /// How many slots are taken at `now`.
    #[cfg(test)]
    pub(crate) fn taken(&self, now: Tick) -> usize {
        self.taken.iter().filter(|lease| now < lease.since + self.term).count()
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
    fn full_slots_are_free_again_when_the_first_lease_expires() {
        let mut leases = Leases::new(2, TERM);
        leases.grant(at(1));
        assert_eq!(leases.full_since(), None);
        leases.grant(at(4));
        assert_eq!(leases.full_since(), Some(at(1)));
        assert_eq!(leases.grant(at(11)).1, 1, "one has expired");
        assert_eq!(leases.full_since(), Some(at(4)));
    }

    #[test]
    fn an_attempt_frees_its_own_slot_only() {
        let mut leases = Leases::new(1, TERM);
        let (lost, _) = leases.grant(at(0));
        let (next, _) = leases.grant(at(10));
        assert_eq!(leases.end(lost), None);
        assert_eq!(leases.full_since(), Some(at(10)));
        assert_eq!(leases.end(next), Some(at(10)));
        assert_eq!(leases.full_since(), None);
    }
}
