use sandtower_core::Tick;

/// What is known about the slots of the service, which decides which calls may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Regime {
    /// The limit is unknown: every call goes.
    Unlimited,
    /// The limit is configured: calls go below it. At it only the count is against a call, so one goes
    /// at a time, immediately.
    Counting { limit: u32 },
    /// The service reported that it is out of slots: one call goes for each end that is seen, and a probe
    /// from time to time.
    Exhausted {
        since: Tick,
        limit: u32,
        /// Ends that were seen and have let no call go yet.
        free: u32,
        /// Probes in a row that found no slot.
        failures: u32,
    },
    /// A probe found a slot: calls follow step by step.
    Recovering {
        limit: u32,
        /// How many of those in use may have ended unseen and have let no call go yet.
        unseen: u32,
        /// How many calls got a slot since.
        responses: u32,
    },
}

/// The probe: a call that is sent although no slot is known to be free. At most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// It may be sent from this instant on; immediately if only the count is against it.
    Due(Tick),
    /// The attempt with this number is in flight. Once its lease expires, another may be sent.
    Out { number: u64, expires: Tick },
}

/// Responses after a probe found a slot until steps are no longer counted.
pub(super) const STEPS: u32 = 64;

impl Regime {
    pub(super) fn with(limit: Option<u32>) -> Self {
        limit.map_or(Self::Unlimited, |limit| Self::Counting { limit })
    }

    pub(super) fn limit(&self) -> Option<u32> {
        match *self {
            Self::Unlimited => None,
            Self::Counting { limit }
            | Self::Exhausted { limit, .. }
            | Self::Recovering { limit, .. } => Some(limit),
        }
    }

    /// Whether a call that is not a probe may go.
    pub(super) fn has_room(&self, in_use: u32, under_way: u32) -> bool {
        let taken = u64::from(in_use) + u64::from(under_way);
        match *self {
            Self::Unlimited => true,
            Self::Counting { limit } => taken < u64::from(limit),
            Self::Exhausted { free, .. } => free > 0,
            Self::Recovering { limit, unseen, .. } => {
                self.may_step(under_way) && taken < u64::from(limit) + u64::from(unseen)
            }
        }
    }

    /// Whether more than the count is against a call beyond the limit.
    pub(super) fn is_careful(&self, under_way: u32) -> bool {
        matches!(self, Self::Exhausted { .. }) || !self.may_step(under_way)
    }

    /// Whether one more may be under way while calls follow step by step: at first two, and one more
    /// each time as many responses came as may be under way.
    fn may_step(&self, under_way: u32) -> bool {
        match *self {
            Self::Recovering { responses, .. } if responses < STEPS => {
                under_way <= responses.isqrt()
            }
            _ => true,
        }
    }

    /// Probes in a row that found no slot.
    pub(super) fn failures(&self) -> u32 {
        match *self {
            Self::Exhausted { failures, .. } => failures,
            _ => 0,
        }
    }
}
