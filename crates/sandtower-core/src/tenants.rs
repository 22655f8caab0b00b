mod table;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use self::table::{Seen, Table};
use crate::{Deferred, Priority, Tenant};

/// The tenants of a process: a bounded table of their names, weights and highest priorities. Cheap to
/// clone; all clones share the table.
///
/// A tenant is an id that a keyed hash makes of a key, such as the value of a header, so the table and
/// everything that is kept by tenant holds no key. [`set`](Self::set) is for tenants that an operator
/// knows: they stay. [`seen`](Self::seen) is for those that appear in requests: when the table is full,
/// one that has nothing queued, in flight or held makes room. If there is none, the newcomer becomes
/// [`Tenant::OTHERS`]: all that do not fit share one tenant, with its limits and its share. A warning
/// is logged when that begins, and the [snapshot](Self::snapshot) counts it.
///
/// ```
/// use std::num::NonZeroU32;
/// use sandtower_core::{Priority, TenantProfile, Tenants, TenantsConfig};
///
/// let tenants = Tenants::new(TenantsConfig::default());
/// let acme = tenants.seen("key-of-acme", "acme");
/// let four = NonZeroU32::new(4).unwrap();
/// let jobs = TenantProfile::new("nightly jobs").weight(four).highest(Priority::Batch);
/// let jobs = tenants.set("key-of-jobs", jobs)?;
/// assert_eq!(&*tenants.profile(acme).name, "acme");
/// assert_eq!(tenants.cap(jobs, Priority::Interactive), Priority::Batch);
/// # Ok::<(), sandtower_core::TenantsFull>(())
/// ```
#[derive(Clone)]
pub struct Tenants {
    inner: Arc<Inner>,
}

struct Inner {
    key: Option<[u64; 2]>,
    table: Mutex<Table>,
}

/// What is known of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TenantProfile {
    /// The name for operators.
    pub name: Arc<str>,
    /// Its share beside others of the same priority: with 2 it gets twice what a tenant with 1 gets.
    pub weight: NonZeroU32,
    /// The highest priority that its calls may have.
    pub highest: Priority,
}

impl TenantProfile {
    /// A tenant with weight 1 whose calls may have any priority.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), weight: NonZeroU32::MIN, highest: Priority::Interactive }
    }

    /// Sets its share.
    #[must_use]
    pub fn weight(mut self, weight: NonZeroU32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the highest priority of its calls.
    #[must_use]
    pub fn highest(mut self, priority: Priority) -> Self {
        self.highest = priority;
        self
    }
}

/// How [`Tenants`] are configured.
///
/// The keys of tenants may be secrets, such as API keys: `Debug` shows how many there are, and a tenant
/// without a name is called by its id.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantsConfig {
    limit: NonZeroU32,
    known: BTreeMap<String, Known>,
    #[serde(skip)]
    key: Option<HashKey>,
}

/// A tenant that a file knows, by its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Known {
    name: Option<String>,
    weight: Option<NonZeroU32>,
    highest: Priority,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct HashKey([u64; 2]);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(..)")
    }
}

impl std::fmt::Debug for TenantsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TenantsConfig")
            .field("limit", &self.limit)
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}

impl Default for TenantsConfig {
    fn default() -> Self {
        let limit = NonZeroU32::new(10_000).unwrap_or(NonZeroU32::MIN);
        Self { limit, known: BTreeMap::new(), key: None }
    }
}

impl TenantsConfig {
    /// Tenants in the table: 10,000 by default.
    #[must_use]
    pub fn limit(mut self, limit: NonZeroU32) -> Self {
        self.limit = limit;
        self
    }

    /// A tenant that stays in the table, by its key.
    #[must_use]
    pub fn known(mut self, key: impl Into<String>, profile: &TenantProfile) -> Self {
        let name = Some(profile.name.to_string());
        let (weight, highest) = (Some(profile.weight), profile.highest);
        self.known.insert(key.into(), Known { name, weight, highest });
        self
    }

    /// The key of the hash: processes with the same key give the same id to a tenant. By default it is
    /// random, and another one in each process. It is never logged.
    #[must_use]
    pub fn hash_key(mut self, key: [u8; 16]) -> Self {
        let (first, second) = key.split_at(8);
        let half = |bytes: &[u8]| bytes.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        self.key = Some(HashKey([half(first), half(second)]));
        self
    }
}

/// The table of tenants is full of those that were set and those that are busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantsFull {
    /// The most it holds.
    pub limit: u32,
}

impl std::fmt::Display for TenantsFull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the table of tenants is full: all {} rows are in use; raise its limit",
            self.limit
        )
    }
}

impl std::error::Error for TenantsFull {}

/// The table of [`Tenants`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TenantsSnapshot {
    /// Rows in use.
    pub rows: u32,
    /// The most there may be.
    pub limit: u32,
    /// Rows of tenants that were set: they stay.
    pub set: u32,
    /// How often an idle tenant made room for another.
    pub evicted: u64,
    /// How often a tenant was seen for which there was no room.
    pub overflowed: u64,
}

impl Tenants {
    /// A table with the tenants that `config` knows. Of more than its limit, the last ones by key are
    /// left out; a warning is logged.
    pub fn new(config: TenantsConfig) -> Self {
        let table = Mutex::new(Table::new(config.limit.get()));
        let key = config.key.map(|HashKey(key)| key);
        let tenants = Self { inner: Arc::new(Inner { key, table }) };
        for (key, known) in config.known {
            let name = known.name.unwrap_or_else(|| tenants.id(&key).to_string());
            let mut profile = TenantProfile::new(name);
            profile.weight = known.weight.unwrap_or(NonZeroU32::MIN);
            profile.highest = known.highest;
            if let Err(full) = tenants.set(&key, profile) {
                tracing::warn!(limit = full.limit, "table of tenants full, tenant not set");
            }
        }
        tenants
    }

    /// The id of the tenant with `key`, whether or not it is in the table.
    pub fn id(&self, key: impl AsRef<[u8]>) -> Tenant {
        match self.inner.key {
            Some(key_of_hash) => Tenant::keyed(key_of_hash, key.as_ref()),
            None => Tenant::of(key.as_ref()),
        }
    }

    /// Adds the tenant with `key`, or changes what is known of it. It stays until it is
    /// [removed](Self::remove).
    ///
    /// # Errors
    ///
    /// The table is full.
    pub fn set(
        &self,
        key: impl AsRef<[u8]>,
        profile: TenantProfile,
    ) -> Result<Tenant, TenantsFull> {
        let tenant = self.id(key);
        self.table().set(tenant, profile).map(|()| tenant)
    }

    /// Forgets that the tenant was set. Once it is idle, its row may go to another.
    pub fn remove(&self, tenant: Tenant) {
        self.table().unset(tenant);
    }

    /// The tenant of a request, by its `key`; `name` is shown to operators, unless one was set.
    /// [`Tenant::OTHERS`], if the table is full.
    pub fn seen(&self, key: impl AsRef<[u8]>, name: &str) -> Tenant {
        let tenant = self.id(key);
        let mut later = Deferred::new();
        let mut table = self.table();
        match table.see(tenant, name) {
            Seen::Here => tenant,
            Seen::Overflowed { first } => {
                let limit = table.limit();
                if first {
                    later.run(move || {
                        tracing::warn!(limit, "table of tenants full, new tenants share one row");
                    });
                }
                Tenant::OTHERS
            }
        }
    }

    /// What is known of `tenant`; of one that is not in the table, weight 1, any priority, and its id
    /// as the name.
    pub fn profile(&self, tenant: Tenant) -> TenantProfile {
        let known = self.table().profile(tenant).cloned();
        known.unwrap_or_else(|| TenantProfile::new(tenant.to_string()))
    }

    /// The priority that a call of `tenant` gets which asks for `wanted`: at most its highest.
    pub fn cap(&self, tenant: Tenant, wanted: Priority) -> Priority {
        match self.table().profile(tenant) {
            Some(profile) => wanted.at_most(profile.highest),
            None => wanted,
        }
    }

    /// `tenant` has something queued, in flight or held: its row stays until as many
    /// [releases](Self::release) followed.
    pub fn hold(&self, tenant: Tenant) {
        self.table().hold(tenant);
    }

    /// The counterpart of [`hold`](Self::hold).
    pub fn release(&self, tenant: Tenant) {
        self.table().release(tenant);
    }

    /// The most tenants that the table holds.
    pub fn limit(&self) -> u32 {
        self.table().limit()
    }

    /// The table at one moment.
    pub fn snapshot(&self) -> TenantsSnapshot {
        self.table().snapshot()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.inner.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Tenants {
    fn default() -> Self {
        Self::new(TenantsConfig::default())
    }
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tenants").field(&self.snapshot()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(limit: u32) -> Tenants {
        Tenants::new(TenantsConfig::default().limit(NonZeroU32::new(limit).unwrap()))
    }

    #[test]
    fn the_same_key_of_the_hash_gives_the_same_ids_and_another_gives_others() {
        let with = |key| Tenants::new(TenantsConfig::default().hash_key([key; 16]));
        assert_eq!(with(1).id("acme"), with(1).id("acme"));
        assert_ne!(with(1).id("acme"), with(2).id("acme"));
        assert_eq!(of(1).id("acme"), of(1).id("acme"), "random, but one for the process");
        assert_ne!(of(1).id("acme"), with(1).id("acme"));
    }

    #[test]
    fn an_idle_tenant_makes_room_and_a_busy_or_set_one_does_not() {
        let tenants = of(3);
        let set = tenants.set("set", TenantProfile::new("set").highest(Priority::Batch)).unwrap();
        let busy = tenants.seen("busy", "busy");
        tenants.hold(busy);
        for n in 0..100 {
            let key = format!("idle {n}");
            assert_eq!(tenants.seen(&key, &key), tenants.id(&key), "{key}");
        }
        assert_eq!(&*tenants.profile(busy).name, "busy");
        assert_eq!(tenants.cap(set, Priority::Interactive), Priority::Batch);
        let snapshot = tenants.snapshot();
        assert_eq!((snapshot.rows, snapshot.set, snapshot.evicted), (3, 1, 99));
    }

    #[test]
    fn what_finds_no_row_shares_one_and_gets_its_own_once_there_is_room() {
        let tenants = of(2);
        let busy = ["one", "two"].map(|key| tenants.seen(key, key));
        busy.iter().for_each(|&tenant| tenants.hold(tenant));
        assert_eq!(tenants.seen("three", "three"), Tenant::OTHERS);
        assert_eq!(tenants.seen("four", "four"), Tenant::OTHERS);
        assert_eq!(&*tenants.profile(Tenant::OTHERS).name, "others");
        assert_eq!(tenants.snapshot().overflowed, 2);
        let error = tenants.set("five", TenantProfile::new("five")).unwrap_err();
        assert!(error.to_string().contains("all 2 rows are in use"), "{error}");
        tenants.release(busy[0]);
        assert_eq!(tenants.seen("three", "three"), tenants.id("three"));
    }

    #[test]
    fn a_tenant_that_was_removed_is_like_any_other() {
        let tenants = of(1);
        let set = tenants.set("set", TenantProfile::new("set").highest(Priority::Batch)).unwrap();
        assert_eq!(tenants.seen("other", "other"), Tenant::OTHERS);
        tenants.remove(set);
        assert_eq!(tenants.cap(set, Priority::Interactive), Priority::Interactive);
        assert_eq!(tenants.seen("other", "other"), tenants.id("other"));
    }

    #[test]
    fn neither_keys_nor_the_key_of_the_hash_are_shown() {
        let mut config = TenantsConfig::default().hash_key(*b"0123456789abcdef");
        config.known.insert(String::from("secret of jobs"), Known::default());
        let tenants = Tenants::new(config.clone());
        let [jobs, acme, other] = ["secret of jobs", "secret key", "other"].map(|k| tenants.id(k));
        tenants.seen("secret key", "acme");
        let profiles = [jobs, acme, other].map(|tenant| tenants.profile(tenant));
        let shown = format!("{config:?} {tenants:?} {profiles:?}");
        assert!(!shown.contains("secret") && !shown.contains("3736"), "{shown}");
    }
}
