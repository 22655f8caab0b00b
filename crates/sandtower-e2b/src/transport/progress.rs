use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sandtower_core::Tick;

/// When the body of a request last made progress: an extension of the request, updated by
/// `HttpTransport` whenever the connection accepts a chunk.
///
/// For a timeout of attempts that measures stalls: it puts one on the request and checks it when the
/// timeout elapses. Cheap to clone; clones share their state.
///
/// ```
/// use sandtower_e2b::Progress;
///
/// let progress = Progress::default();
/// assert_eq!(progress.last_moved(), None);
/// progress.moved();
/// assert!(progress.last_moved().is_some());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Records progress now.
    pub fn moved(&self) {
        self.0.store(Tick::now().as_nanos().max(1), Ordering::Relaxed);
    }

    /// When the body last made progress; `None`: not yet.
    pub fn last_moved(&self) -> Option<Tick> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Tick::from_nanos(nanos)),
        }
    }
}
