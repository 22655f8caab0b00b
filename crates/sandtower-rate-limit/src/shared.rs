use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use sandtower_core::{Change, Operation, Scope, Subscribers, Tick};

use crate::operations::Operations;
use crate::per_operation::PerOperation;
use crate::saving::{Exchanged, Saving};
use crate::{Config, Entry, StoreError};

/// What all handles of one rate limit share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// In rejections, events and snapshots.
    pub(crate) name: Arc<str>,
    operations: Operations,
    pub(crate) common: Arc<Common>,
    pub(crate) saving: Option<Saving>,
}

/// What all rate limits of one [`RateLimits`](crate::RateLimits) share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) config: Config,
    /// Whether every attempt is let through, whatever the limits.
    shadow: AtomicBool,
    pub(crate) subscribers: Arc<Subscribers>,
}

impl Common {
    /// Of a config that was checked.
    pub(crate) fn new(config: Config) -> Arc<Self> {
        let shadow = AtomicBool::new(config.is_shadow());
        Arc::new(Self { config, shadow, subscribers: Arc::default() })
    }

    #[inline]
    pub(crate) fn is_shadow(&self) -> bool {
        self.shadow.load(Ordering::Relaxed)
    }

    pub(crate) fn set_shadow(&self, shadow: bool) {
        self.shadow.store(shadow, Ordering::Relaxed);
        if shadow {
            self.subscribers.notify(Change::Opened);
        }
    }
}

impl Shared {
    pub(crate) fn new(name: Arc<str>, common: Arc<Common>, saving: Option<Saving>) -> Self {
        Self { name, operations: Operations::new(), common, saving }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.common.config
    }

    /// Whether it may hold back an attempt at `now`, or has counted one that matters to a limit.
    pub(crate) fn is_in_use(&self, now: Tick) -> bool {
        self.each().any(|mut counted| counted.is_in_use(now))
    }

    /// What is kept of each operation, one by one.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, PerOperation>> {
        self.operations.iter().map(|mut counted| {
            counted.set_shadow(self.common.is_shadow());
            counted
        })
    }

    pub(crate) fn known(&self, operation: Operation) -> Option<MutexGuard<'_, PerOperation>> {
        self.operations.get(operation.index()).map(|counted| self.named(counted, operation))
    }

    #[inline]
    pub(crate) fn of_operation(&self, operation: Operation) -> MutexGuard<'_, PerOperation> {
        let counted = self
            .operations
            .get_or(operation.index(), || PerOperation::new(operation, self.config()));
        self.named(counted, operation)
    }

    #[inline]
    fn named<'a>(
        &self,
        mut counted: MutexGuard<'a, PerOperation>,
        operation: Operation,
    ) -> MutexGuard<'a, PerOperation> {
        counted.name(operation, self.config());
        counted.set_shadow(self.common.is_shadow());
        counted
    }

    pub(crate) fn exchange(&self) -> Result<(), StoreError> {
        match &self.saving {
            Some(saving) => saving.exchange(&self.name, self),
            None => Ok(()),
        }
    }

    /// Says whether it is to be called again.
    pub(crate) fn exchange_in_background(&self, clean: bool) -> bool {
        let Some(saving) = self.saving.as_ref().filter(|saving| !saving.is_stopped()) else {
            return false;
        };
        // An event says so.
        let _ = saving.exchange(&self.name, self);
        if clean {
            saving.cleanup(&self.name);
        }
        true
    }

    /// What is kept of an operation that a store names: by its number.
    fn unnamed(&self, operation: u8) -> MutexGuard<'_, PerOperation> {
        self.operations.get_or(operation.into(), || PerOperation::unnamed(operation, self.config()))
    }
}

impl Exchanged for Shared {
    fn collect(&self, now: Tick, wall: u64) -> Vec<Entry> {
        let mut ours = Vec::new();
        self.each().for_each(|mut counted| counted.unsaved(now, wall, &mut ours));
        ours
    }

    fn keep(&self, ours: &[Entry]) {
        for entry in ours {
            if let Entry::Sent { operation, count, .. } = *entry {
                self.unnamed(operation).keep(count);
            }
        }
    }

    fn take(&self, theirs: Vec<Entry>, now: Tick, wall: u64) {
        let mut opened = false;
        for entry in theirs {
            match entry {
                Entry::Sent { operation, at, count } => {
                    // What lies in the future was sent by a clock that was wrong.
                    let ago = Duration::from_millis(wall.saturating_sub(at));
                    opened |= self.unnamed(operation).others_sent(now, ago, count);
                }
                Entry::Held { operation, scope, until } => {
                    let left = Duration::from_millis(until.saturating_sub(wall));
                    let mut counted = self.unnamed(operation);
                    counted.hold(Scope::new(scope), now + left, now);
                }
            }
        }
        if opened {
            self.common.subscribers.notify(Change::Opened);
        }
    }
}
