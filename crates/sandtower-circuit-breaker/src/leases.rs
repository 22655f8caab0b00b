use std::time::Duration;

use sandtower_core::Tick;

/// The probes of a half-open breaker that are out, each with the instant at which it is void.
///
/// A place whose lease has expired is free, whatever became of its probe: nothing that hangs, is
/// lost or forgotten can keep the next probe from being sent.
#[derive(Debug)]
pub(crate) struct Leases {
    places: u32,
    term: Duration,
    /// At most `places`; some may have expired.
    out: Vec<Lease>,
    granted: u64,
    expired: u64,
}

/// Which probe. No two probes of a breaker have the same.
pub(crate) type ProbeId = u64;

#[derive(Clone, Copy, Debug)]
struct Lease {
    probe: ProbeId,
    expires: Tick,
}

impl Leases {
    /// Room for `places` probes at a time, each void after `term`.
    pub(crate) fn new(places: u32, term: Duration) -> Self {
        Self { places, term, out: Vec::new(), granted: 0, expired: 0 }
    }

    /// When the next place is free: [`Tick::ZERO`] if one is already, else the earliest expiry.
    pub(crate) fn free_at(&self) -> Tick {
        if self.out.len() < self.places as usize {
            return Tick::ZERO;
        }
        self.out.iter().map(|lease| lease.expires).min().unwrap_or(Tick::ZERO)
    }

    /// Takes a place; to be asked for only at [`free_at`](Self::free_at) or later.
    pub(crate) fn grant(&mut self, now: Tick) -> ProbeId {
        let before = self.out.len();
        self.out.retain(|lease| now < lease.expires);
        self.expired += (before - self.out.len()) as u64;
        debug_assert!(self.out.len() < self.places as usize, "a probe too many");
        self.granted += 1;
        self.out.push(Lease { probe: self.granted, expires: now + self.term });
        self.granted
    }

    /// Frees the place of `probe`. Says when its lease would have expired; `None` if another probe
    /// has taken its place already.
    pub(crate) fn end(&mut self, probe: ProbeId) -> Option<Tick> {
        let at = self.out.iter().position(|lease| lease.probe == probe)?;
        Some(self.out.swap_remove(at).expires)
    }

    /// Voids every lease.
    pub(crate) fn clear(&mut self) {
        self.out.clear();
    }

    /// How many probes were ever handed out.
    pub(crate) fn granted(&self) -> u64 {
        self.granted
    }

    /// How many places were given to another probe after their lease had expired.
    pub(crate) fn expired(&self) -> u64 {
        self.expired
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
        leases.grant(at(11));
        assert_eq!(leases.free_at(), at(14));
        assert_eq!((leases.granted(), leases.expired()), (3, 1));
    }

    #[test]
    fn a_probe_frees_its_own_place_only() {
        let mut leases = Leases::new(1, TERM);
        let lost = leases.grant(at(0));
        let next = leases.grant(at(10));
        assert_eq!(leases.end(lost), None);
        assert_eq!(leases.free_at(), at(20));
        assert_eq!(leases.end(next), Some(at(20)));
        assert_eq!(leases.free_at(), Tick::ZERO);
    }
}
