//! Virtual keys: keys of the gateway's own, each with limits, that are sent on as a key of the service.
//!
//! [`VirtualKeys`] is what operators work on. What calls use up is counted in memory under one lock and
//! written to a store in the background, so that a limit holds after a restart, too.

mod account;
mod assignment;
mod book;
mod calls;
mod change;
mod clock;
mod declared;
mod error;
mod id;
mod key;
mod limits;
mod listing;
mod secret;
mod store;
#[cfg(test)]
mod tests;
mod unmarked;
mod upstream;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use sandtower::e2b::Secret;

use self::account::Millis;
use self::book::{Book, MOST_KEYS};
use self::clock::Clock;
use self::key::{check_name, check_templates};
use self::secret::Hash;
use self::store::Store;

pub(crate) use account::Exceeded;
pub(crate) use assignment::FromStock;
pub(crate) use calls::{NotAdmitted, Reservation};
pub(crate) use declared::Declared;
pub(crate) use key::Key;
pub(crate) use limits::Limit;
pub(crate) use listing::Listed;
pub(crate) use upstream::Upstreams;

pub use change::{KeyChange, LimitsChange, NewKey, Rotation};
pub use error::KeyError;
pub use id::{KeyId, NotAKeyId};
pub use key::KeyInfo;
pub use limits::{Limits, Usage, Used};
pub use store::{StoreError, StoreState};

/// The virtual keys of a gateway.
///
/// Changes take effect at once. Each waits until it is written, for up to a second if the store is busy:
/// call them where a thread may block.
#[derive(Debug)]
pub struct VirtualKeys {
    inner: Arc<Inner>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Inner {
    book: Mutex<Book>,
    /// Held while an operator changes a key: one change at a time.
    changing: Mutex<()>,
    /// The names of the upstream keys.
    upstreams: Mutex<BTreeSet<String>>,
    store: Option<Store>,
    clock: Clock,
    /// There is a key, or was one: without, calls take no lock.
    has_keys: AtomicBool,
}

impl VirtualKeys {
    /// Those in the store at `path`; without one, none, and they are kept in memory only.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, StoreError> {
        Self::with_clock(path, Clock::wall())
    }

    fn with_clock(path: Option<&Path>, clock: Clock) -> Result<Self, StoreError> {
        let mut book = Book::default();
        let store = path.map(|path| Store::open(path, &mut book)).transpose()?;
        let (changing, upstreams) = (Mutex::default(), Mutex::default());
        let has_keys = AtomicBool::new(!book.entries.is_empty());
        let book = Mutex::new(book);
        let inner = Arc::new(Inner { book, changing, upstreams, store, clock, has_keys });
        let writer = Mutex::new(store::write_in_background(&inner)?);
        Ok(Self { inner, writer })
    }

    /// All keys, those included that are revoked: by name.
    pub fn list(&self) -> Vec<KeyInfo> {
        let now = self.inner.clock.now();
        let ids: Vec<_> = self.inner.book().entries.keys().copied().collect();
        let mut all = Vec::with_capacity(ids.len());
        // Requests wait for the lock.
        for ids in ids.chunks(AT_ONCE) {
            let mut book = self.inner.book();
            all.extend(ids.iter().filter_map(|id| book.info(*id, now)));
        }
        all.sort_unstable_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        all
    }

    /// The key with this id.
    pub fn get(&self, id: &KeyId) -> Option<KeyInfo> {
        self.inner.book().info(*id, self.inner.clock.now())
    }

    /// Creates a key. Its secret is returned here and nowhere else.
    ///
    /// # Errors
    ///
    /// A field is invalid, there are too many keys, or the store is unavailable: there is no new key.
    pub fn create(&self, new: NewKey) -> Result<(KeyInfo, Secret), KeyError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.changing();
        check_name(&new.name)?;
        new.limits.check()?;
        let (templates, upstream) =
            (check_templates(new.templates)?, inner.upstream(new.upstream)?);
        let secret = secret::new().ok_or(KeyError::NoRandomNumbers)?;
        let id = KeyId::random().ok_or(KeyError::NoRandomNumbers)?;
        let key = Key {
            id,
            name: new.name.into(),
            hash: Hash::of(secret.expose().as_bytes()),
            old: None,
            created: inner.clock.now(),
            revoked: None,
            priority: new.priority,
            upstream: upstream.into(),
            templates,
            limits: new.limits,
            declared: false,
        };
        {
            let mut book = inner.book();
            if !book.make_place() {
                return Err(KeyError::Full(MOST_KEYS));
            }
            book.put(key);
        }
        inner.has_keys.store(true, Ordering::Relaxed);
        if !inner.write() {
            inner.book().remove(id);
            return Err(KeyError::NotStored);
        }
        Ok((self.info(id)?, secret))
    }

    /// Changes a key. The change holds for the calls that begin after it.
    ///
    /// While the store is unavailable the change takes effect, and is written once the store has
    /// recovered.
    ///
    /// # Errors
    ///
    /// A field is invalid, or the key is revoked or in the file with keys: nothing has changed.
    pub fn update(&self, id: &KeyId, change: KeyChange) -> Result<KeyInfo, KeyError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.changing();
        let mut key = inner.changeable(*id)?;
        if let Some(name) = change.name {
            check_name(&name)?;
            key.name = name.into();
        }
        if let Some(upstream) = change.upstream {
            key.upstream = inner.other_upstream(&key, upstream)?.into();
        }
        if let Some(templates) = change.templates {
            key.templates = check_templates(templates)?;
        }
        key.priority = change.priority.unwrap_or(key.priority);
        change.limits.apply(&mut key.limits);
        key.limits.check()?;
        inner.book().put(key);
        inner.write();
        self.info(*id)
    }

    /// Replaces the secret of a key; the one before is dead at once.
    ///
    /// # Errors
    ///
    /// As for [`rotate_with`](Self::rotate_with).
    pub fn rotate(&self, id: &KeyId) -> Result<(KeyInfo, Secret), KeyError> {
        self.rotate_with(id, Rotation::default())
    }

    /// Replaces the secret of a key. The new one is returned here and nowhere else.
    ///
    /// # Errors
    ///
    /// The key is revoked or in the file with keys, the grace time is too long, or the store is
    /// unavailable: nothing has changed.
    pub fn rotate_with(
        &self,
        id: &KeyId,
        rotation: Rotation,
    ) -> Result<(KeyInfo, Secret), KeyError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.changing();
        let before = inner.changeable(*id)?;
        let grace = u64::try_from(rotation.grace.as_millis()).unwrap_or(u64::MAX);
        if grace > LONGEST_GRACE {
            let right = format!("it must be at most {} (7 days)", LONGEST_GRACE / 1_000);
            return Err(KeyError::field("grace_seconds", right));
        }
        let secret = secret::new().ok_or(KeyError::NoRandomNumbers)?;
        let old = (grace > 0).then(|| (before.hash, inner.clock.now().saturating_add(grace)));
        let hash = Hash::of(secret.expose().as_bytes());
        inner.book().put(Key { hash, old, ..before.clone() });
        if !inner.write() {
            inner.book().put(before);
            return Err(KeyError::NotStored);
        }
        Ok((self.info(*id)?, secret))
    }

    /// Revokes a key, for good: its next call is rejected. A revoked key that is revoked again stays as it
    /// is. What it has created runs on until its timeout, and takes no more requests.
    ///
    /// # Errors
    ///
    /// No key has this id; or the store is unavailable: the key is revoked in this process only.
    pub fn revoke(&self, id: &KeyId) -> Result<KeyInfo, KeyError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.changing();
        let key = inner.key(*id).ok_or(KeyError::Unknown)?;
        if !key.is_revoked() {
            let revoked = Some(inner.clock.now());
            inner.book().put(Key { revoked, ..Key::clone(&key) });
            tracing::info!(key = %id, "virtual key revoked");
        }
        if !inner.write() {
            return Err(KeyError::RevokedNotStored);
        }
        self.info(*id)
    }

    /// Whether keys and what they have used are written.
    pub fn store(&self) -> StoreState {
        self.inner.store.as_ref().map_or(StoreState::Memory, Store::state)
    }

    fn info(&self, id: KeyId) -> Result<KeyInfo, KeyError> {
        self.get(&id).ok_or(KeyError::Unknown)
    }
}

/// Keys that are copied under one lock.
const AT_ONCE: usize = 128;

/// The longest time that a secret lives after it was replaced: 7 days.
const LONGEST_GRACE: Millis = 7 * 86_400_000;

impl Inner {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_keys(&self) -> bool {
        self.has_keys.load(Ordering::Relaxed)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn upstreams(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, id: KeyId) -> Option<Arc<Key>> {
        self.book().entries.get(&id).map(|entry| Arc::clone(&entry.key))
    }

    /// A key that may be changed.
    fn changeable(&self, id: KeyId) -> Result<Key, KeyError> {
        let key = self.key(id).ok_or(KeyError::Unknown)?;
        match key.is_revoked() {
            true => Err(KeyError::Revoked),
            false if key.declared => Err(KeyError::Declared),
            false => Ok(Key::clone(&key)),
        }
    }

    /// The name of another upstream key for `key`: its sandboxes are those of the one before.
    fn other_upstream(&self, key: &Key, name: String) -> Result<String, KeyError> {
        let name = self.upstream(Some(name))?;
        let now = self.clock.now();
        let running = self.book().at(key.id, now).map_or(0, |entry| entry.account.slots.len());
        match running {
            0 => Ok(name),
            _ if name == key.upstream() => Ok(name),
            _ => {
                let right = format!(
                    "it can change once no sandbox of the key runs; {running} run under \"{}\"",
                    key.upstream()
                );
                Err(KeyError::field("upstream", right))
            }
        }
    }

    /// The name of an upstream key: the only one, if none is named.
    fn upstream(&self, name: Option<String>) -> Result<String, KeyError> {
        let known = self.upstreams();
        let first = known.first();
        match (name, first) {
            (Some(name), _) if known.contains(&name) => Ok(name),
            (None, Some(only)) if known.len() == 1 => Ok(only.clone()),
            (_, None) => {
                let right = "there is no upstream key: name one in the section `keys.upstream` of the configuration";
                Err(KeyError::field("upstream", right))
            }
            _ => {
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                let right = format!("it must be one of: {}", known.join(", "));
                Err(KeyError::field("upstream", right))
            }
        }
    }

    /// Writes what the store does not have, and waits for it. `false`: the store is unavailable.
    fn write(&self) -> bool {
        self.store.as_ref().is_none_or(|store| store.write(self))
    }
}

impl Drop for VirtualKeys {
    fn drop(&mut self) {
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(store), Some(writer)) = (&self.inner.store, writer) {
            store.stop();
            writer.thread().unpark();
            // A writer that panicked has ended, too.
            drop(writer.join());
        }
    }
}
