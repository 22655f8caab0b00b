use sandtower_core::Tick;

/// What is known of the service's slots, and so which calls may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Regime {
    /// The limit is not known: every call goes.
    Unlimited,
    /// The limit is known beforehand: calls go below it. At it only our count speaks against a call,
    /// so one goes at a time, at once.
    Counting { limit: u32 },
    /// The service said that it is out of slots: one call goes for each end that is seen, and a
    /// probe now and then.
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

/// The one probe: a call that goes although there is no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// It may go from this instant on; at once where only our count speaks against it.
    Due(Tick),
    /// The attempt of that number is under way. When its lease has expired, another may go.
    Out { number: u64, expires: Tick },
}

/// So many responses after a probe found a slot, steps are no longer counted.
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

    /// Whether a call may go that is no probe.
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

    /// Whether more than our count speaks against a call for which there is no room.
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
