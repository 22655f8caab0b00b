use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sandtower_core::Tick;

/// When the body of a request last moved: an extension of the request, written by
/// `HttpTransport` each time the connection takes a piece of the body.
///
/// For a timeout of attempts that counts standing still, not moving: it puts one on the request, and
/// when its time is over asks when the body last moved. Cheap to clone; all clones are one.
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
    /// The body moves now.
    pub fn moved(&self) {
        self.0.store(Tick::now().as_nanos().max(1), Ordering::Relaxed);
    }

    /// When it last moved; `None`: not yet.
    pub fn last_moved(&self) -> Option<Tick> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Tick::from_nanos(nanos)),
        }
    }
}
