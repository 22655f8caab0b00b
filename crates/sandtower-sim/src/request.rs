//! A request that was read, for whatever responds to it.

use bytes::Bytes;
use http::request::Parts;

/// A request whose body was read.
pub(crate) struct Received {
    pub(crate) parts: Parts,
    pub(crate) body: Result<Bytes, Unreadable>,
}

/// Why there is no body to work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is longer than its destination takes, before or after unpacking.
    TooLong,
    /// It is said to be gzip, and is not.
    Malformed,
}

/// Marks the response that names a new sandbox, so that the ledger can tell when it is lost.
#[derive(Clone, Debug)]
pub(crate) struct NamesSandbox(pub(crate) String);
