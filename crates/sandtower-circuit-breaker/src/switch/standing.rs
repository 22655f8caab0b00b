//! A rejection that everyone gets, told without the lock.

use sandtower_core::{Reason, Tick};

use super::sync::{AtomicU64, Ordering};
use crate::engine::No;

/// Until when every call is rejected, and why: two words that are read as one.
///
/// `why` is the mark of what is written: it is [`WRITING`] while `until` changes. Who reads it twice
/// around `until` and finds the same has read what belongs together, but for a breaker that changed
/// there and back meanwhile: then it was told what was true a moment ago.
#[derive(Debug)]
pub(super) struct QueuePosition {
    until: AtomicU64,
    why: AtomicU64,
}

const WRITING: u64 = u64::MAX;
const PROBING: u64 = u64::MAX - 1;
const FORCED: u64 = u64::MAX - 2;

impl QueuePosition {
    pub(super) fn new(no: Option<No>) -> Self {
        let (until, why) = packed(no);
        Self { until: AtomicU64::new(until), why: AtomicU64::new(why) }
    }

    /// Only under the engine's lock.
    pub(super) fn publish(&self, no: Option<No>) {
        let (until, why) = packed(no);
        // Relaxed: nobody else writes now.
        if (self.until.load(Ordering::Relaxed), self.why.load(Ordering::Relaxed)) != (until, why) {
            self.why.store(WRITING, Ordering::Relaxed);
            self.until.store(until, Ordering::Release);
            self.why.store(why, Ordering::Release);
        }
    }

    /// Until when, as of some moment ago; [`Tick::ZERO`] if not at all.
    #[inline]
    pub(super) fn until(&self) -> Tick {
        Tick::from_nanos(self.until.load(Ordering::Acquire))
    }

    /// What everyone is told at `now`. The error: it is just changing, so ask the engine.
    #[inline]
    pub(super) fn read(&self, now: Tick) -> Result<Option<No>, Changing> {
        let why = self.why.load(Ordering::Acquire);
        // Acquire: who sees a new instant sees the mark that was set before it was written.
        let at = self.until();
        if why == WRITING || why != self.why.load(Ordering::Relaxed) {
            return Err(Changing);
        }
        Ok((now < at).then_some(No { at, reason: reason(why), soon: None }))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Changing;

fn packed(no: Option<No>) -> (u64, u64) {
    let Some(No { at, reason, .. }) = no else { return (0, 0) };
    let why = match reason {
        Reason::Open { failed, of } => (u64::from(failed) << 32 | u64::from(of)).min(FORCED - 1),
        Reason::ForcedOpen => FORCED,
        _ => PROBING,
    };
    (at.as_nanos(), why)
}

#[inline]
fn reason(why: u64) -> Reason {
    match why {
        PROBING => Reason::Probing,
        FORCED => Reason::ForcedOpen,
        // Each half fits: that is how they were packed.
        numbers => Reason::Open { failed: (numbers >> 32) as u32, of: numbers as u32 },
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_published() {
        let at = Tick::from_nanos(7);
        let open = |failed, of| Reason::Open { failed, of };
        for reason in [open(0, 0), open(5, 8), open(9, 9), Reason::Probing, Reason::ForcedOpen] {
            let no = No { at, reason, soon: None };
            let standing = QueuePosition::new(None);
            assert_eq!(standing.read(Tick::ZERO), Ok(None));
            standing.publish(Some(no));
            assert_eq!(standing.read(Tick::ZERO), Ok(Some(no)));
            assert_eq!(standing.read(at), Ok(None), "its time is over");
        }
    }

    #[test]
    fn endless_failures_are_not_taken_for_something_else() {
        let reason = Reason::Open { failed: u32::MAX, of: u32::MAX };
        let standing = QueuePosition::new(Some(No { at: Tick::MAX, reason, soon: None }));
        let read = standing.read(Tick::ZERO).unwrap().unwrap();
        assert!(matches!(read.reason, Reason::Open { failed: u32::MAX, .. }));
    }
}
