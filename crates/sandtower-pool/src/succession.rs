//! A pool that follows another one in the same process, as when a configuration is read again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use sandtower_core::Tick;

use crate::engine::{Engine, Room};
use crate::pool::Shared;
use crate::recorder::Recorder;
use crate::{Config, Pool, PoolBuilder};

/// The pool before.
#[derive(Debug)]
pub(crate) struct Before {
    shared: Weak<Shared>,
    is_taken_over: AtomicBool,
}

impl Before {
    /// Whether the pool before records its stock where `config` says.
    pub(crate) fn records(&self, config: &Config) -> bool {
        let before = self.shared.upgrade();
        before
            .is_some_and(|before| before.recorder.is_some() && before.config.store == config.store)
    }

    /// Its recorder, which records for `engine`, too.
    pub(crate) fn recorder(
        &self,
        config: &Config,
        engine: &Arc<Mutex<Engine>>,
    ) -> Option<Recorder> {
        let before = self.shared.upgrade().filter(|_| self.records(config))?;
        before.recorder.as_ref().map(|recorder| recorder.also_for(engine))
    }
}

impl PoolBuilder {
    /// The pool follows `before`, a pool of the same account and owner in this process: when it starts, it
    /// takes over the idle stock that fits its configuration, and what `before` knows of demand. `before`
    /// creates nothing more from then on, kills what is left, and what it still has counts against `max` here.
    ///
    /// [Retire](Pool::retire) `before` once this one is certain to follow. Not kept alive by this pool: as
    /// long as `before` has stock, keep it. Call it after [`room`](Self::room).
    pub fn after(mut self, before: &Pool) -> Self {
        let shared = before.shared();
        self.parts.instance.clone_from(&shared.instance);
        let shared = Arc::downgrade(shared);
        let (room, weak) =
            (std::mem::replace(&mut self.parts.room, Box::new(Room::unknown)), shared.clone());
        let held = move || weak.upgrade().map_or(0, |before| before.held());
        self.parts.room = Box::new(move || room().beside(held()));
        self.parts.before = Some(Before { shared, is_taken_over: AtomicBool::new(false) });
        self
    }
}

impl Pool {
    /// Creates nothing more from here on, and returns nothing from stock: requests pass. With `keeps`, what is
    /// idle waits until a pool that was built [after](PoolBuilder::after) this one takes it over, or until it is
    /// old; without, it is killed. The pool has to be kept as long as it is not [empty](Self::is_empty).
    pub fn retire(&self, keeps: bool) {
        let shared = self.shared();
        shared.engine().close(!keeps, Tick::now());
        shared.work.notify_one();
    }

    /// Whether it has no sandbox: none in stock, none being created or killed.
    pub fn is_empty(&self) -> bool {
        self.shared().engine().in_stock() == 0
    }
}

impl Shared {
    /// Takes over the stock of the pool before, once.
    pub(crate) fn take_over(&self) {
        let mut before = self.take_before();
        // One that was never used has left the stock of its own predecessor alone.
        while let Some(earlier) = before.as_ref().and_then(|before| before.take_before()) {
            before = Some(earlier);
        }
        if let Some(before) = before {
            // Always the earlier one first, and what it has lost is recorded before what this one has.
            let mut of_before = before.engine();
            let mut own = self.engine();
            own.take_over(&mut of_before, Tick::now());
            drop(of_before);
            drop(own);
            before.work.notify_one();
        }
        if let Some(recorder) = self.recorder.as_ref().filter(|recorder| recorder.is_loaded()) {
            self.engine().set_recording(!recorder.is_failing());
        }
    }

    fn take_before(&self) -> Option<Arc<Self>> {
        let before = self.before.as_ref()?;
        let is_first = !before.is_taken_over.swap(true, Ordering::AcqRel);
        is_first.then(|| before.shared.upgrade())?
    }

    /// The sandboxes that this pool, and those before it, still have.
    fn held(&self) -> u32 {
        let before = self.before.as_ref().and_then(|before| before.shared.upgrade());
        let earlier = before.map_or(0, |before| before.held());
        self.engine().in_stock().saturating_add(earlier)
    }
}
