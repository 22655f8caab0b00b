use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::{Engine, Moment};
use crate::recorder::Recorder;

pub(crate) fn lock(engine: &Mutex<Engine>) -> MutexGuard<'_, Engine> {
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The engine, locked. What is done to it is recorded.
pub(crate) struct Locked<'a> {
    pub(crate) engine: MutexGuard<'a, Engine>,
    pub(crate) recorder: Option<(&'a Recorder, Moment)>,
    /// Dropped last, once the engine is unlocked.
    pub(crate) begins: Begins<'a>,
}

/// Dropped, it begins to record.
pub(crate) struct Begins<'a>(pub(crate) Option<&'a Recorder>);

impl Deref for Locked<'_> {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let Some((recorder, moment)) = self.recorder else { return };
        let steps = self.engine.take_steps(moment);
        if !steps.is_empty() {
            // Still locked: steps are added in the order in which they happen.
            recorder.add(steps);
            self.begins.0 = Some(recorder);
        }
    }
}

impl Drop for Begins<'_> {
    fn drop(&mut self) {
        if let Some(recorder) = self.0 {
            recorder.begin();
        }
    }
}
