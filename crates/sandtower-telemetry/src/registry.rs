use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandtower_core::{MetricSource, Operation};
use serde_json::Value;

use crate::reading::Reading;
use crate::table::{STACK, TABLE};

/// The layers and stacks whose metrics are exported. Cheap to clone; clones are one registry.
///
/// Adding a source costs its calls nothing: it is read when the registry is, at a scrape or by a
/// [`Watch`](crate::Watch).
#[derive(Clone, Default)]
pub struct Registry {
    sources: Arc<Mutex<Vec<Source>>>,
}

#[derive(Clone)]
struct Source {
    name: Arc<str>,
    kind: &'static str,
    operations: &'static [Operation],
    read: Arc<dyn Fn() -> Value + Send + Sync>,
}

/// A source was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// Its metrics would be those of another source.
    #[error(
        "the metrics of {kind} `{name}` are registered already: use another name, or remove it"
    )]
    Duplicate {
        /// The name.
        name: String,
        /// The kind of layer that both have.
        kind: &'static str,
    },
    /// The table has no metric of this kind of layer.
    #[error("no metric is of layer kind `{kind}`")]
    UnknownKind {
        /// The kind.
        kind: &'static str,
    },
    /// The name cannot be a label.
    #[error("the name of a source has {length} bytes; it must have 1 to 128")]
    Name {
        /// How long it is.
        length: usize,
    },
}

impl Registry {
    /// One without sources.
    pub fn new() -> Self {
        Self::default()
    }

    /// Exports the metrics of `source` with the label `source="name"`: those of the handle of one layer,
    /// or of a whole stack. Sources of different kinds may have one name.
    ///
    /// # Errors
    ///
    /// Another source has the same series: one of this kind and name, or a stack of this name.
    pub fn add<S: MetricSource>(
        &self,
        name: impl Into<Arc<str>>,
        source: S,
    ) -> Result<(), AddError> {
        let name = name.into();
        if !(1..=128).contains(&name.len()) {
            return Err(AddError::Name { length: name.len() });
        }
        let kinds = kinds(S::KIND);
        if kinds.is_empty() {
            return Err(AddError::UnknownKind { kind: S::KIND });
        }
        let operations = source.operations();
        // A snapshot that cannot be serialized has no series: its layer's own tests find that.
        let read = Arc::new(move || serde_json::to_value(source.read()).unwrap_or_default());
        let mut sources = self.lock();
        let same = sources.iter().filter(|other| other.name == name);
        let mut taken = same.flat_map(|other| self::kinds(other.kind));
        if let Some(kind) = taken.find(|kind| kinds.contains(kind)) {
            return Err(AddError::Duplicate { name: name.to_string(), kind });
        }
        sources.push(Source { name, kind: S::KIND, operations, read });
        Ok(())
    }

    /// Removes all sources of this name, and returns how many there were. Their series end.
    pub fn remove(&self, name: &str) -> usize {
        let mut removed = Vec::new();
        self.lock().retain(|source| {
            let stays = *source.name != *name;
            if !stays {
                removed.push(source.clone());
            }
            stays
        });
        // Handles of the user: not dropped under the lock.
        removed.len()
    }

    /// All sources as they are now. No lock is held while they are read.
    pub(crate) fn read(&self) -> Vec<Reading> {
        let sources = self.lock().clone();
        let read = |source: Source| {
            Reading::new(source.name, source.kind, source.operations, (source.read)())
        };
        sources.into_iter().map(read).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Source>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sources = self.lock().clone();
        let names = sources.iter().map(|source| (source.kind, &*source.name));
        f.debug_list().entries(names).finish()
    }
}

/// The kinds of layers whose metrics a source has.
fn kinds(kind: &'static str) -> Vec<&'static str> {
    match kind {
        "stack" => std::iter::once("stack").chain(STACK.iter().map(|part| part.1)).collect(),
        "circuit_breakers" => vec!["circuit_breaker"],
        _ if TABLE.iter().any(|metric| metric.layer == kind) => vec![kind],
        _ => vec![],
    }
}
