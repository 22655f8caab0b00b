use std::{sync::Arc, time::Duration};

use sandtower_core::Scope;

/// How many scopes have a breaker of their own, for how long, and what they are called.
#[derive(Clone)]
#[must_use = "a configuration does nothing until breakers are made of it"]
pub struct Scopes {
    pub(crate) most: usize,
    pub(crate) forget_after: Duration,
    name: Option<Arc<Name>>,
}

type Name = dyn Fn(Scope) -> String + Send + Sync;

impl Scopes {
    /// `most` scopes at a time, 1 or more, each until nothing was asked of it for 10 min.
    pub const fn new(most: usize) -> Self {
        Self { most, forget_after: Duration::from_secs(10 * 60), name: None }
    }

    /// A scope of which nothing was asked for this long is forgotten, unless its breaker protects it:
    /// greater than zero, at most 24 h.
    pub const fn forget_after(mut self, silence: Duration) -> Self {
        self.forget_after = silence;
        self
    }

    /// What a scope is called: `search/eu` in events, rejections and snapshots, if `name` returns
    /// `eu` and the breakers are called `search`. Default: the [number](Scope::id) of the scope.
    ///
    /// Called once whenever a scope gets a breaker.
    pub fn named(mut self, name: impl Fn(Scope) -> String + Send + Sync + 'static) -> Self {
        self.name = Some(Arc::new(name));
        self
    }

    pub(crate) fn name(&self, scope: Scope) -> String {
        match &self.name {
            Some(name) => name(scope),
            None => scope.id().to_string(),
        }
    }
}

impl Default for Scopes {
    /// 1,024 scopes.
    fn default() -> Self {
        Self::new(1_024)
    }
}

impl std::fmt::Debug for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { most, forget_after, .. } = self;
        f.debug_struct("Scopes")
            .field("most", most)
            .field("forget_after", forget_after)
            .finish_non_exhaustive()
    }
}
