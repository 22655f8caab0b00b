//! Counters that threads do not fight over.

use sandtower_core::Outcome;

use super::{
    OwnLine,
    sync::{AtomicU64, Ordering},
};
use crate::Counters;

/// Answers that changed nothing and rejections that were plain, counted by each thread in a stripe
/// that few others use.
#[derive(Debug)]
pub(super) struct Stripes {
    /// A power of two of them: finding one's own must not cost a division.
    stripes: Box<[OwnLine<Stripe>]>,
}

#[derive(Debug)]
struct Stripe {
    succeeded: AtomicU64,
    declined: AtomicU64,
    rejected: AtomicU64,
}

impl Stripes {
    pub(super) fn new(stripes: usize) -> Self {
        let zero = || AtomicU64::new(0);
        let empty = || OwnLine(Stripe { succeeded: zero(), declined: zero(), rejected: zero() });
        let count = stripes.max(1).next_power_of_two();
        Self { stripes: (0..count).map(|_| empty()).collect() }
    }

    /// Counts an answer; `false` if `outcome` is none.
    #[inline]
    pub(super) fn count(&self, outcome: Outcome) -> bool {
        let stripe = self.mine();
        let counter = match outcome {
            Outcome::Success => &stripe.succeeded,
            Outcome::Permanent | Outcome::Exhausted => &stripe.declined,
            _ => return false,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        true
    }

    #[inline]
    pub(super) fn count_rejection(&self) {
        self.mine().rejected.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    fn mine(&self) -> &Stripe {
        &self.stripes[thread() & (self.stripes.len() - 1)].0
    }

    pub(super) fn add_to(&self, counters: &mut Counters) {
        for OwnLine(stripe) in &self.stripes {
            counters.succeeded += stripe.succeeded.load(Ordering::Relaxed);
            counters.declined += stripe.declined.load(Ordering::Relaxed);
            counters.rejected += stripe.rejected.load(Ordering::Relaxed);
        }
    }
}

/// A small number of this thread; those of threads that were started one after the other differ.
#[inline]
fn thread() -> usize {
    use std::sync::atomic::AtomicUsize;

    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static THREAD: usize = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    THREAD.try_with(|thread| *thread).unwrap_or(0)
}
