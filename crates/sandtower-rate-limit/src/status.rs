use std::time::Duration;

use serde::{Serialize, Serializer};

/// How one operation stands. Times are milliseconds when it is serialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Attempts within the window, counted high by at most one bucket (1.6 % of the window).
    pub count: u64,
    /// What the window allows; `None`: no limit.
    pub limit: Option<u64>,
    /// Whether attempts beyond the limits are held back. If not, all of them pass: it is in
    /// [shadow mode](crate::Config::shadow), or the operation is [exempt](crate::Config::exempt).
    pub enforced: bool,
    /// Whether the limit is used up.
    pub exceeded: bool,
    /// What is left of the limit.
    pub remaining: Option<u64>,
    /// The time until all of the limit is back, if nothing more is sent. Serializes as
    /// `resets_in_ms`.
    #[serde(rename = "resets_in_ms", serialize_with = "millis")]
    pub resets_in: Duration,
    /// The time until an attempt may go by every limit that is known: the window's, the pace, and
    /// what the server asked for of any scope. Zero: now. Serializes as `available_in_ms`.
    #[serde(rename = "available_in_ms", serialize_with = "millis")]
    pub available_in: Duration,
}

/// What was sent, by operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Attempts of all operations within the window.
    pub total: u64,
    /// Every operation that was ever sent, by its number.
    pub by_operation: Vec<OperationSnapshot>,
    /// Whether attempts beyond the limits are held back. If not, it is in
    /// [shadow mode](crate::Config::shadow).
    pub enforced: bool,
    /// How far back attempts are counted. Serializes as `window_ms`.
    #[serde(rename = "window_ms", serialize_with = "millis")]
    pub window: Duration,
    /// Whether the last exchange with the store worked. If not, counts are kept in memory until it
    /// does; `None`: there is no store.
    pub store_available: Option<bool>,
}

pub(crate) fn millis<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

pub(crate) fn optional_millis<S: Serializer>(
    time: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => millis(time, to),
        None => to.serialize_none(),
    }
}

/// What was sent of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OperationSnapshot {
    /// The name of the operation.
    pub operation: &'static str,
    /// Attempts within the window, counted high by at most one bucket (1.6 % of the window).
    pub count: u64,
    /// What the window allows; `None`: no limit.
    pub limit: Option<u64>,
    /// Whether attempts beyond the limits are held back.
    pub enforced: bool,
    /// Attempts since the start that were beyond a limit, rejected or not.
    pub over: u64,
    /// Those of them that were let through in [shadow mode](crate::Config::shadow), and would have
    /// been rejected or held back else.
    pub would_reject: u64,
}
