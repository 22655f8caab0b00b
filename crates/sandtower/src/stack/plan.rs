use std::time::Duration;

/// What a team may do at E2B, as published for its plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plan {
    /// One creation a second, 20 sandboxes at once.
    Hobby,
    /// Five creations a second, 100 sandboxes at once.
    Pro,
}

impl Plan {
    /// The time from one creation to the next.
    pub const fn create_every(self) -> Duration {
        match self {
            Self::Hobby => Duration::from_secs(1),
            Self::Pro => Duration::from_millis(200),
        }
    }

    /// Sandboxes that may exist at once. The word of the service counts: this is for before it said
    /// anything.
    pub const fn sandboxes(self) -> u32 {
        match self {
            Self::Hobby => 20,
            Self::Pro => 100,
        }
    }

    /// Creations in flight at once: as many as the pace keeps busy when a creation takes two
    /// seconds. More of them make an overloaded service slower, not faster.
    pub const fn concurrent_creates(self) -> u32 {
        match self {
            Self::Hobby => 2,
            Self::Pro => 10,
        }
    }
}
