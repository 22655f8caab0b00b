use std::sync::{Mutex, PoisonError};

/// A service that is never polled, of which others are clones. The lock makes it shareable for
/// services that are not [`Sync`], and is held for nothing but a clone.
#[derive(Debug)]
pub(crate) struct Pristine<S>(Mutex<S>);

impl<S> Pristine<S> {
    pub(crate) fn new(service: S) -> Self {
        Self(Mutex::new(service))
    }

    /// An instance that has not been polled.
    pub(crate) fn fresh(&self) -> S
    where
        S: Clone,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
