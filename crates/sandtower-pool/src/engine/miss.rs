use serde::Serialize;

/// Why a request was not served from stock. It is then passed on, unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Miss {
    /// The body is no creation that a pool understands, or is a stream.
    Unreadable,
    /// The sandbox is to pause at the end of its lifetime.
    Lifecycle,
    /// It has an `Idempotency-Key` of its caller's: each call with the key is to get the same sandbox.
    Keyed,
    /// It has metadata, which a sandbox in stock cannot get any more, and no configured shape has the same.
    Metadata,
    /// No shape is like it.
    Unknown,
    /// None of its shape is in stock.
    Empty,
    /// Those in stock are too old to live for as long as is asked.
    Lifetime,
    /// Stock is short, and other tenants have their share of it.
    Share,
    /// Those that were tried were dead.
    Dead,
    /// The time for the hand-out was over.
    Late,
    /// It is sent with another API key than the stock was created with.
    OtherKey,
    /// The hand-out cannot be recorded: see [`Stock`](crate::Stock).
    Store,
    /// The pool is shut down.
    ShutDown,
}

impl Miss {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Unreadable,
        Self::Lifecycle,
        Self::Keyed,
        Self::Metadata,
        Self::Unknown,
        Self::Empty,
        Self::Lifetime,
        Self::Share,
        Self::Dead,
        Self::Late,
        Self::OtherKey,
        Self::Store,
        Self::ShutDown,
    ];

    /// The name for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Lifecycle => "lifecycle",
            Self::Keyed => "keyed",
            Self::Metadata => "metadata",
            Self::Unknown => "unknown",
            Self::Empty => "empty",
            Self::Lifetime => "lifetime",
            Self::Share => "share",
            Self::Dead => "dead",
            Self::Late => "late",
            Self::OtherKey => "other_key",
            Self::Store => "store",
            Self::ShutDown => "shut_down",
        }
    }
}

impl std::fmt::Display for Miss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}
