//! Keys in a file: those in it are there after each start and reload, those that were in it are not.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Deserialize;

use super::key::{check_name, check_templates};
use super::secret::Hash;
use super::{Key, KeyError, KeyId, Limits, NewKey, Upstreams, VirtualKeys};
use crate::config::ConfigError;

/// A key in the file.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    name: String,
    upstream: String,
    hash: Hash,
    new: NewKey,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<One>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    name: String,
    /// In hexadecimal digits, as `sha256sum` prints it.
    sha256: String,
    upstream: Option<String>,
    #[serde(default)]
    priority: sandtower::core::Priority,
    templates: Option<Vec<String>>,
    #[serde(default)]
    limits: Limits,
}

impl Declared {
    /// Reads the keys in `file`.
    pub(crate) fn read(file: &Path, upstreams: &Upstreams) -> Result<Vec<Self>, ConfigError> {
        let error = |why: String| ConfigError::new("keys.file", why).at(file.into(), None);
        let text = std::fs::read_to_string(file)
            .map_err(|why| error(format!("the file cannot be read: {why}")))?;
        let File { key } = toml::from_str(&text).map_err(|why| {
            let line = why.span().map(|span| text[..span.start].matches('\n').count() + 1);
            ConfigError::new("keys.file", why.message()).at(file.into(), line)
        })?;
        let (mut names, mut hashes) = (BTreeSet::new(), BTreeSet::new());
        let mut all = Vec::new();
        for one in key {
            let name = one.name.clone();
            let of_key = |why: &dyn std::fmt::Display| error(format!("key \"{name}\": {why}"));
            if !names.insert(one.name.clone()) {
                return Err(of_key(&"`name`: each key must have a name of its own"));
            }
            let hash = Hash::parse(&one.sha256).ok_or_else(|| {
                of_key(&"`sha256`: it must be the SHA-256 of the key in 64 hexadecimal digits, as `printf %s \"$KEY\" | sha256sum` prints it")
            })?;
            if !hashes.insert(hash.0) {
                return Err(of_key(&"`sha256`: each key must have a secret of its own"));
            }
            all.push(one.checked(hash, upstreams).map_err(|why| of_key(&why))?);
        }
        Ok(all)
    }
}

impl One {
    fn checked(self, hash: Hash, upstreams: &Upstreams) -> Result<Declared, KeyError> {
        check_name(&self.name)?;
        self.limits.check()?;
        let mut names = upstreams.names();
        let upstream = match (self.upstream, names.next(), names.next()) {
            (Some(name), ..) if upstreams.get(&name).is_some() => name,
            (None, Some(only), None) => only.to_owned(),
            _ => {
                let right = "it must name a key of the section `keys.upstream`";
                return Err(KeyError::field("upstream", right));
            }
        };
        let mut new = NewKey::new(self.name.clone());
        new.priority = self.priority;
        new.templates = check_templates(self.templates)?;
        new.limits = self.limits;
        Ok(Declared { name: self.name, upstream, hash, new })
    }
}

impl VirtualKeys {
    /// Takes over what a configuration says: the names of the upstream keys, and the keys in its file.
    ///
    /// A key that is no longer in the file is revoked. One that an operator has revoked stays so until its
    /// secret in the file is another one.
    pub(crate) fn configure(&self, upstreams: &Upstreams, declared: &[Declared]) {
        let inner = &self.inner;
        let _one_at_a_time = inner.changing();
        *inner.upstreams() = upstreams.names().map(str::to_owned).collect();
        let now = inner.clock.now();
        let ids: BTreeSet<_> = declared.iter().map(|it| KeyId::declared(&it.name)).collect();
        let mut book = inner.book();
        let gone: Vec<_> = book
            .entries
            .values()
            .filter(|entry| entry.key.declared && !ids.contains(&entry.key.id))
            .map(|entry| Arc::clone(&entry.key))
            .collect();
        for key in gone {
            let revoked = key.revoked.or(Some(now));
            book.put(Key { revoked, declared: false, ..Key::clone(&key) });
        }
        for one in declared {
            let id = KeyId::declared(&one.name);
            let before = book.entries.get(&id).map(|entry| Arc::clone(&entry.key));
            let same = before.as_ref().filter(|key| key.hash == one.hash && key.declared);
            let is_busy = book.at(id, now).is_some_and(|entry| !entry.account.slots.is_empty());
            let kept = before.as_ref().map(|key| key.upstream()).filter(|_| is_busy);
            let upstream = kept.unwrap_or(&one.upstream);
            if upstream != one.upstream {
                tracing::warn!(
                    key = %id, upstream,
                    "upstream of a virtual key not changed, sandboxes run under the one before"
                );
            }
            let key = Key {
                id,
                name: one.name.as_str().into(),
                hash: one.hash,
                old: None,
                created: before.as_ref().map_or(now, |key| key.created),
                revoked: same.and_then(|key| key.revoked),
                priority: one.new.priority,
                upstream: upstream.into(),
                templates: one.new.templates.clone(),
                limits: one.new.limits,
                declared: true,
            };
            if book.has_other(&key.hash, id) {
                tracing::error!(
                    name = one.name,
                    "virtual key of the file left out, another key has its secret"
                );
            } else if before.as_deref() != Some(&key) {
                book.put(key);
            }
        }
        inner.has_keys.store(!book.entries.is_empty(), Ordering::Relaxed);
        drop(book);
        inner.write();
    }
}
