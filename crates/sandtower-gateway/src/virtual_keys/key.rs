use std::sync::Arc;

use sandtower::core::{Priority, Tenant};
use serde::Serialize;

use super::account::Millis;
use super::limits::{Limits, Usage};
use super::secret::Hash;
use super::{KeyError, KeyId};

/// A virtual key, as it is kept: without its secret. It is replaced as a whole when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(super) id: KeyId,
    pub(super) name: Arc<str>,
    pub(super) hash: Hash,
    /// The secret before the last rotation, and until when it lives.
    pub(super) old: Option<(Hash, Millis)>,
    pub(super) created: Millis,
    pub(super) revoked: Option<Millis>,
    pub(super) priority: Priority,
    pub(super) upstream: Arc<str>,
    /// Sorted; `None`: all.
    pub(super) templates: Option<Vec<String>>,
    pub(super) limits: Limits,
    /// It is in the file with keys.
    pub(super) declared: bool,
}

impl Key {
    pub(crate) const fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn is_revoked(&self) -> bool {
        self.revoked.is_some()
    }

    pub(crate) const fn priority(&self) -> Priority {
        self.priority
    }

    pub(crate) fn upstream(&self) -> &str {
        &self.upstream
    }

    /// Whether its callers may create sandboxes of `template`: an id or a name, with or without a tag.
    pub(crate) fn allows(&self, template: &str) -> bool {
        let untagged = template.split_once(':').map_or(template, |(name, _)| name);
        self.templates.as_ref().is_none_or(|allowed| {
            allowed.iter().any(|allowed| allowed == template || allowed == untagged)
        })
    }

    pub(crate) fn templates(&self) -> Option<&[String]> {
        self.templates.as_deref()
    }

    /// On whose behalf its requests are sent.
    pub(crate) fn tenant(&self, tenants: &sandtower::core::Tenants) -> Tenant {
        tenants.seen(self.id.to_string(), &self.name)
    }

    pub(super) fn info(&self, usage: Usage, now: Millis) -> KeyInfo {
        let old_until = self.old.map(|(_, until)| until).filter(|until| *until > now);
        KeyInfo {
            id: self.id,
            name: self.name.to_string(),
            created: self.created / 1_000,
            revoked: self.revoked.map(|at| at / 1_000),
            old_secret_until: old_until.map(|until| until / 1_000),
            priority: self.priority,
            upstream: self.upstream.to_string(),
            templates: self.templates.clone(),
            limits: self.limits,
            usage,
            declared: self.declared,
        }
    }
}

/// A virtual key as its operator sees it. The secret is not in it: it is not kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct KeyInfo {
    /// Names the key, in logs too.
    pub id: KeyId,
    /// Its name for people.
    pub name: String,
    /// When it was created, in seconds since 1970.
    pub created: u64,
    /// When it was revoked, in seconds since 1970.
    pub revoked: Option<u64>,
    /// Until when the secret before the last rotation lives, in seconds since 1970, if it does.
    pub old_secret_until: Option<u64>,
    /// The class of its calls in queues.
    pub priority: Priority,
    /// The name of the upstream key that its calls are sent with.
    pub upstream: String,
    /// The templates that its callers may use; `None`: all.
    pub templates: Option<Vec<String>>,
    /// What its callers may use up.
    pub limits: Limits,
    /// What they have used up.
    pub usage: Usage,
    /// Whether it is in the file with keys, where it is changed.
    pub declared: bool,
}

/// The longest name of a key, in bytes.
const LONGEST_NAME: usize = 64;
/// The most templates that are allowed by name, and the longest of their names in bytes.
const MOST_TEMPLATES: usize = 100;
const LONGEST_TEMPLATE: usize = 256;

pub(super) fn check_name(name: &str) -> Result<(), KeyError> {
    let is_name = !name.trim().is_empty() && !name.chars().any(char::is_control);
    if is_name && name.len() <= LONGEST_NAME {
        return Ok(());
    }
    let right = format!(
        "it must have 1 to {LONGEST_NAME} bytes, no control characters, and not only spaces"
    );
    Err(KeyError::field("name", right))
}

/// Sorted, each once.
pub(super) fn check_templates(
    templates: Option<Vec<String>>,
) -> Result<Option<Vec<String>>, KeyError> {
    let Some(mut all) = templates else { return Ok(None) };
    let is_name = |name: &String| (1..=LONGEST_TEMPLATE).contains(&name.len());
    if all.len() > MOST_TEMPLATES || !all.iter().all(is_name) {
        let right = format!(
            "it must be a list of at most {MOST_TEMPLATES} names of 1 to {LONGEST_TEMPLATE} bytes, \
             or null for all templates"
        );
        return Err(KeyError::field("templates", right));
    }
    all.sort_unstable();
    all.dedup();
    Ok(Some(all))
}
