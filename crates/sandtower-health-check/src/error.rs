use sandtower_core::Outcome;

/// What was handed out did not pass its check, and was discarded.
///
/// Comes inside of [`ClassifiedError`](sandtower_core::ClassifiedError) as a transient failure without effect: to try
/// again makes a new one. Use [`find`](sandtower_core::find) to get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was handed out is unhealthy: probe {probes} {last}")]
#[non_exhaustive]
pub struct Unhealthy {
    /// How many probes were made.
    pub probes: u32,
    /// What the last of them found.
    pub last: Finding,
}

/// What a probe that failed has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Finding {
    /// It ended in this outcome.
    Said(Outcome),
    /// It did not end in its time.
    TimedOut,
    /// It panicked.
    Panicked,
    /// It could not be made a second time.
    Gone,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Said(outcome) => write!(f, "failed ({outcome})"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Panicked => f.write_str("panicked"),
            Self::Gone => f.write_str("could not be made"),
        }
    }
}

/// Answers were still being discarded when the time to wait for them was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{left} discarded answers are not released yet")]
#[non_exhaustive]
pub struct Undrained {
    /// How many.
    pub left: u64,
}
