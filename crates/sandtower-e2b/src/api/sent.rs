use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Extensions;
use sandtower_core::Tick;

/// Whether and when an attempt was sent: an extension of the request, set by the innermost layer. Until
/// then the attempt may still be queued.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent(Arc<AtomicU64>);

impl Sent {
    /// Records on a request that creates a sandbox that it is sent now.
    pub(crate) fn mark(extensions: &Extensions) {
        if let Some(sent) = extensions.get::<Self>() {
            let now = Tick::now().as_nanos().max(1);
            sent.0.store(now, Ordering::Relaxed);
        }
    }

    /// When it was sent, if at all.
    pub(crate) fn at(&self) -> Option<Tick> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Tick::from_nanos(nanos)),
        }
    }
}
