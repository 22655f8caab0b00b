use sandtower_core::Outcome;

/// A new resource failed its check and was discarded.
///
/// It is wrapped in a [`ClassifiedError`](sandtower_core::ClassifiedError) as a transient failure without
/// effect: another attempt creates a new one. [`find`](sandtower_core::find) returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the new resource is unhealthy: probe {probes} {last}")]
#[non_exhaustive]
pub struct Unhealthy {
    /// The number of probes.
    pub probes: u32,
    /// The result of the last probe.
    pub last: Finding,
}

/// Why a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Finding {
    /// It returned this outcome.
    Failed(Outcome),
    /// It timed out.
    TimedOut,
    /// It panicked.
    Panicked,
    /// It could not be started again.
    Gone,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(outcome) => write!(f, "failed ({outcome})"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Panicked => f.write_str("panicked"),
            Self::Gone => f.write_str("could not be made"),
        }
    }
}

/// Discarded responses were still being released at the end of the drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{left} discarded responses are not released yet")]
#[non_exhaustive]
pub struct Undrained {
    /// How many.
    pub left: u64,
}
