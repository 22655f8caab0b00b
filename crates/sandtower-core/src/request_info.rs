use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::num::NonZeroU32;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::Tick;

/// The kind of call: a dense small number with a name, such as `sandbox_create`.
///
/// Layers keep state per operation in arrays, so number them from 0 without gaps. The number is a
/// `u8`, so a peer can never cause more than 256 queues, windows or counters.
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
    /// The operation of a request that was not classified.
    pub const CALL: Self = Self::new(0, "call");

    /// An operation. Operations with the same index share one queue, window and set of counters.
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
    /// The only scope of a service with a single failure domain.
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

/// On whose behalf a request is sent: a customer, a team, an API key. Limits and fairness are kept for
/// it. Names and weights are in [`Tenants`](crate::Tenants).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tenant(u64);

impl Tenant {
    /// The one tenant of a service that does not distinguish them.
    pub const ALL: Self = Self(0);

    /// Stands for all tenants that do not fit into a bounded table.
    pub const OTHERS: Self = Self(u64::MAX);

    /// The tenant numbered `id`.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The tenant of a key of any type, by a hash with a random key of this process: the same key gives
    /// the same tenant within the process, and nothing can be read back from it.
    pub fn of<K: Hash + ?Sized>(key: &K) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self::hashed(KEY.hash_one(key))
    }

    /// The tenant of `bytes`, by a hash with this key.
    pub(crate) fn keyed(key: [u64; 2], bytes: &[u8]) -> Self {
        #[expect(deprecated, reason = "SipHash 2-4 with a key, the same in every release of std")]
        let mut hasher = std::hash::SipHasher::new_with_keys(key[0], key[1]);
        hasher.write(bytes);
        Self::hashed(hasher.finish())
    }

    /// Avoids the two reserved ids.
    fn hashed(hash: u64) -> Self {
        Self(hash.clamp(1, u64::MAX - 1))
    }

    /// The number of the tenant.
    pub const fn id(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::ALL => f.write_str("all"),
            Self::OTHERS => f.write_str("others"),
            Self(id) => write!(f, "{id:016x}"),
        }
    }
}

/// How urgent a call is: its class in queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A person is waiting.
    #[default]
    Interactive,
    /// A program is waiting.
    Batch,
    /// No caller is waiting.
    Background,
}

impl Priority {
    /// All of them, the highest first.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Batch, Self::Background];

    /// Its index in [`ALL`](Self::ALL): 0 is the highest.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name for logs, metrics and settings, in snake case.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Batch => "batch",
            Self::Background => "background",
        }
    }

    /// This priority, but not above `highest`.
    #[must_use]
    pub const fn at_most(self, highest: Self) -> Self {
        if self.index() < highest.index() { highest } else { self }
    }

    /// The priority with this [name](Self::label).
    pub fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.label() == label)
    }
}

impl std::fmt::Display for Priority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

/// Whether a call waits while a gate such as a circuit breaker is closed. A request extension that
/// overrides the default of its [`Priority`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Patience {
    /// Reject the call immediately, with a time to retry after.
    Reject,
    /// Hold the call until the gate may open, if its deadline allows.
    Hold,
}

/// A resource of a service that a request addresses, such as a sandbox. Failures of one resource alone
/// are evidence against that resource, not against the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resource(u64);

impl Resource {
    /// The resource numbered `id`.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The resource of a key of any type, such as a sandbox's id. The same key gives the same resource
    /// within a process.
    pub fn of<K: Hash + ?Sized>(key: &K) -> Self {
        Self(Scope::of(key).id())
    }

    /// The number of the resource.
    pub const fn id(self) -> u64 {
        self.0
    }
}

/// Whether a request is idempotent: whether it may be sent again after an attempt that may have had an
/// effect.
#[doc(alias = "idempotent")]
#[doc(alias = "idempotency")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Replay {
    /// Sending it twice has the same effect as once.
    Safe,
    /// A second attempt could do the work twice. The default.
    #[default]
    Unsafe,
}

/// What layers know about a request before it is sent. Plain data that layers copy.
///
/// ```
/// use sandtower_core::{RequestInfo, Operation, Replay};
///
/// let info = RequestInfo::new(Operation::new(3, "sandbox_list")).replay(Replay::Safe);
/// assert_eq!(info.operation.name(), "sandbox_list");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestInfo {
    /// The kind of call.
    pub operation: Operation,
    /// The failure domain it belongs to.
    pub scope: Scope,
    /// On whose behalf it is sent.
    pub tenant: Tenant,
    /// How urgent it is.
    pub priority: Priority,
    /// What it does while a gate is closed; `None` for the default of its priority.
    pub patience: Option<Patience>,
    /// Its weight in the limits of admission control; `None` for the weight of its operation there, 1 by
    /// default.
    pub weight: Option<NonZeroU32>,
    /// The resource it addresses; `None` for the service as a whole.
    pub resource: Option<Resource>,
    /// The deadline of the caller; `None` for no deadline.
    pub deadline: Option<Tick>,
    /// When the call, not this attempt, arrived; `None` for now. A retried attempt keeps its position in
    /// the queue by it.
    pub arrived: Option<Tick>,
    /// Whether it may be sent again after an attempt that may have had an effect.
    pub replay: Replay,
    /// Whether the call is open-ended, such as one that runs a user's code or watches a directory. If its
    /// caller cancels it, or its time limit ends it, that is not evidence against the service.
    pub open_ended: bool,
}

impl RequestInfo {
    /// Request info for `operation`, with defaults otherwise.
    pub fn new(operation: Operation) -> Self {
        Self { operation, ..Self::default() }
    }

    /// Sets the failure domain.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Sets on whose behalf it is sent.
    #[must_use]
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = tenant;
        self
    }

    /// Sets how urgent it is.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets what it does while a gate is closed.
    #[must_use]
    pub fn patience(mut self, patience: Option<Patience>) -> Self {
        self.patience = patience;
        self
    }

    /// Sets how much it counts towards limits.
    #[must_use]
    pub fn weight(mut self, weight: Option<NonZeroU32>) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the resource it addresses.
    #[must_use]
    pub fn resource(mut self, resource: Option<Resource>) -> Self {
        self.resource = resource;
        self
    }

    /// Marks the call as open-ended.
    #[must_use]
    pub fn open_ended(mut self, open_ended: bool) -> Self {
        self.open_ended = open_ended;
        self
    }

    /// Sets the deadline of the caller.
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
    #[doc(alias = "idempotent")]
    #[must_use]
    pub fn replay(mut self, replay: Replay) -> Self {
        self.replay = replay;
        self
    }
}

/// Provides the info of a request: every [`ClassifyResponse`](crate::ClassifyResponse) does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not know the info of its request",
    label = "not a `HasInfo`",
    note = "a response classifier implements `HasInfo` too: keep the `RequestInfo` in it and return it"
)]
pub trait HasInfo {
    /// The info of the request.
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
    fn a_call_is_interactive_by_default_and_a_cap_only_lowers() {
        assert_eq!(RequestInfo::default().priority, Priority::Interactive);
        for (wanted, highest, given) in [
            (Priority::Interactive, Priority::Batch, Priority::Batch),
            (Priority::Background, Priority::Batch, Priority::Background),
            (Priority::Batch, Priority::Interactive, Priority::Batch),
        ] {
            assert_eq!(wanted.at_most(highest), given);
            assert_eq!(Priority::parse(given.label()), Some(given));
        }
        assert_eq!(Priority::parse("urgent"), None);
    }

    #[test]
    fn a_tenant_is_shown_by_its_number_and_the_reserved_ones_by_name() {
        assert_eq!(Tenant::ALL.to_string(), "all");
        assert_eq!(Tenant::OTHERS.to_string(), "others");
        assert_eq!(Tenant::hashed(0xAB).to_string(), "00000000000000ab");
    }

    #[test]
    fn no_request_is_replayed_by_default() {
        assert_eq!(RequestInfo::default().replay, Replay::Unsafe);
    }
}
