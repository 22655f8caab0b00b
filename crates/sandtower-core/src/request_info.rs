use std::hash::{DefaultHasher, Hash, Hasher};

use crate::Tick;

/// The kind of call: a dense small number with a name, such as `sandbox_create`.
///
/// Layers keep state per operation in arrays, so number them from 0 without gaps. The number is a
/// `u8`: whatever a peer sends, there are never more than 256 lanes, windows or counters.
///
/// ```
/// use sandtower_core::Operation;
///
/// const CREATE: Operation = Operation::new(1, "sandbox_create");
/// assert_eq!(CREATE.to_string(), "sandbox_create");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    index: u8,
    name: &'static str,
}

impl Operation {
    /// The operation of a request that was not told apart from others.
    pub const CALL: Self = Self::new(0, "call");

    /// An operation. Two operations with one index share their lane, window and counters.
    pub const fn new(index: u8, name: &'static str) -> Self {
        Self { index, name }
    }

    /// The dense number.
    pub const fn index(self) -> usize {
        self.index as usize
    }

    /// The name for logs and metrics, in snake case.
    pub const fn name(self) -> &'static str {
        self.name
    }
}

impl Default for Operation {
    fn default() -> Self {
        Self::CALL
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The failure domain that a breaker, a budget or a limit is kept for: a region, a key, a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope(u64);

impl Scope {
    /// The one scope of a service that was not divided.
    pub const ALL: Self = Self(0);

    /// The scope numbered `id`.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The scope of a key of any type. The same key gives the same scope within a process; a
    /// secret key cannot be read back from it.
    pub fn of<K: Hash + ?Sized>(key: &K) -> Self {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// The number of the scope.
    pub const fn id(self) -> u64 {
        self.0
    }
}

/// Whether a request may be sent again after an attempt that may have had an effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Replay {
    /// Sending it twice is as good as once.
    Safe,
    /// A second attempt could do the work twice. The default: nobody said otherwise.
    #[default]
    Unsafe,
}

/// What a request tells before it is sent. Plain data: layers copy it.
///
/// ```
/// use sandtower_core::{RequestInfo, Operation, Replay};
///
/// let asked = RequestInfo::new(Operation::new(3, "sandbox_list")).replay(Replay::Safe);
/// assert_eq!(asked.operation.name(), "sandbox_list");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestInfo {
    /// The kind of call.
    pub operation: Operation,
    /// The failure domain it belongs to.
    pub scope: Scope,
    /// When the caller stops caring; `None`: never.
    pub deadline: Option<Tick>,
    /// When the call, not this attempt, arrived; `None`: now. An attempt that is sent back to the
    /// waiting room keeps its place by it.
    pub arrived: Option<Tick>,
    /// Whether it may be sent again when an attempt may have had an effect.
    pub replay: Replay,
}

impl RequestInfo {
    /// A request for `operation`, with nothing else known.
    pub fn new(operation: Operation) -> Self {
        Self { operation, ..Self::default() }
    }

    /// Sets the failure domain.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Sets the instant at which the caller stops caring.
    #[must_use]
    pub fn deadline(mut self, deadline: Option<Tick>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets when the call arrived.
    #[must_use]
    pub fn arrived(mut self, arrived: Option<Tick>) -> Self {
        self.arrived = arrived;
        self
    }

    /// Sets whether it may be sent again after an unknown result.
    #[must_use]
    pub fn replay(mut self, replay: Replay) -> Self {
        self.replay = replay;
        self
    }
}

/// Knows what a request asked: every [`ClassifyResponse`](crate::Classifier) does.
pub trait HasInfo {
    /// What the request asked.
    fn info(&self) -> &RequestInfo;
}

impl HasInfo for RequestInfo {
    #[inline]
    fn info(&self) -> &RequestInfo {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_different_keys_differ_and_of_the_same_key_agree() {
        assert_eq!(Scope::of("eu"), Scope::of("eu"));
        assert_ne!(Scope::of("eu"), Scope::of("us"));
    }

    #[test]
    fn nothing_is_replayed_unless_somebody_said_so() {
        assert_eq!(RequestInfo::default().replay, Replay::Unsafe);
    }
}
