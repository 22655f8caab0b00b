use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use sandtower_core::{Change, Operation, Scope, Subscribers, Tick};

use crate::lane::Lane;
use crate::saving::{Exchanged, Saving};
use crate::{Config, Entry, StoreError};

/// As many as there are numbers of operations: traffic cannot make it grow.
const LANES: usize = u8::MAX as usize + 1;

/// What all handles of one rate limit share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// Whether every attempt is let through, whatever the limits.
    pub(crate) shadow: AtomicBool,
    pub(crate) lanes: Box<[OnceLock<Box<Locked>>]>,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) saving: Option<Saving>,
}

/// Alone on its cache lines: two operations share no word that their callers fight over.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Locked {
    lane: Mutex<Lane>,
}

impl Shared {
    pub(crate) fn new(config: Config, saving: Option<Saving>) -> Self {
        let lanes = std::iter::repeat_with(OnceLock::new).take(LANES).collect();
        let shadow = AtomicBool::new(config.is_shadow());
        Self { config, shadow, lanes, subscribers: Arc::default(), saving }
    }

    #[inline]
    pub(crate) fn is_shadow(&self) -> bool {
        self.shadow.load(Ordering::Relaxed)
    }

    /// All lanes there are, one by one.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Lane>> {
        self.lanes.iter().filter_map(OnceLock::get).map(|locked| {
            let mut lane = locked.lock();
            lane.set_shadow(self.is_shadow());
            lane
        })
    }

    pub(crate) fn known(&self, operation: Operation) -> Option<MutexGuard<'_, Lane>> {
        self.lanes[operation.index()].get().map(|_| self.lane(operation))
    }

    #[inline]
    pub(crate) fn lane(&self, operation: Operation) -> MutexGuard<'_, Lane> {
        let new = || Locked::new(Lane::new(operation, &self.config));
        let mut lane = self.lanes[operation.index()].get_or_init(new).lock();
        lane.name(operation, &self.config);
        lane.set_shadow(self.is_shadow());
        lane
    }

    pub(crate) fn exchange(&self) -> Result<(), StoreError> {
        match &self.saving {
            Some(saving) => saving.exchange(&self.config.name, self),
            None => Ok(()),
        }
    }

    /// Says whether it is to be called again.
    pub(crate) fn exchange_in_background(&self, clean: bool) -> bool {
        let Some(saving) = self.saving.as_ref().filter(|saving| !saving.is_stopped()) else {
            return false;
        };
        // Told by an event.
        let _ = saving.exchange(&self.config.name, self);
        if clean {
            saving.cleanup(&self.config.name);
        }
        true
    }

    /// The lane of an operation that a store names: by its number.
    fn unnamed(&self, operation: u8) -> MutexGuard<'_, Lane> {
        let new = || Locked::new(Lane::unnamed(operation, &self.config));
        self.lanes[usize::from(operation)].get_or_init(new).lock()
    }
}

impl Exchanged for Shared {
    fn collect(&self, now: Tick, wall: u64) -> Vec<Entry> {
        let mut ours = Vec::new();
        self.each().for_each(|mut lane| lane.unsaved(now, wall, &mut ours));
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
                    let mut lane = self.unnamed(operation);
                    lane.hold(Scope::new(scope), now + left, now);
                }
            }
        }
        if opened {
            self.subscribers.notify(Change::Opened);
        }
    }
}

impl Locked {
    fn new(lane: Lane) -> Box<Self> {
        Box::new(Self { lane: Mutex::new(lane) })
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Lane> {
        // A lane is whole between any two of its steps, and none of them calls foreign code.
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
