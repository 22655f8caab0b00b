//! A budget in one atomic word.

use super::sync::{AtomicU64, Ordering};

/// Thousandths of a token. Nothing else is ordered by this word, so relaxed is enough: the read,
/// the check and the write of a withdrawal are one exchange, and no token is paid out twice.
#[derive(Debug)]
pub(crate) struct Tokens(AtomicU64);

impl Tokens {
    pub(crate) fn new(filled: u64) -> Self {
        Self(AtomicU64::new(filled))
    }

    /// Whether it is full afterwards. A full budget is read and not written: threads that only
    /// succeed share the cache line.
    #[inline]
    pub(crate) fn deposit(&self, share: u64, cap: u64) -> bool {
        let mut left = self.0.load(Ordering::Relaxed);
        while left < cap {
            let more = left.saturating_add(share).min(cap);
            match self.0.compare_exchange_weak(left, more, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return more == cap,
                Err(now) => left = now,
            }
        }
        true
    }

    pub(crate) fn withdraw(&self, cost: u64) -> bool {
        let mut left = self.0.load(Ordering::Relaxed);
        while let Some(less) = left.checked_sub(cost) {
            match self.0.compare_exchange_weak(left, less, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => left = now,
            }
        }
        false
    }

    pub(crate) fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_deposit_says_whether_it_is_full_and_a_withdrawal_takes_all_or_nothing() {
        let tokens = Tokens::new(0);
        assert_eq!([1, 2, 3, 4].map(|_| tokens.deposit(400, 1_000)), [false, false, true, true]);
        assert_eq!(tokens.left(), 1_000);
        assert_eq!(
            [600, 600, 400, 1].map(|cost| tokens.withdraw(cost)),
            [true, false, true, false]
        );
        assert_eq!(tokens.left(), 0);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;

    use super::*;

    #[test]
    fn two_threads_never_take_the_same_last_token() {
        loom::model(|| {
            let tokens = Arc::new(Tokens::new(1_000));
            let other = Arc::clone(&tokens);
            let thread = loom::thread::spawn(move || other.withdraw(1_000));
            let mine = tokens.withdraw(1_000);
            let theirs = thread.join().unwrap();
            assert!(mine ^ theirs, "mine {mine}, theirs {theirs}");
            assert_eq!(tokens.left(), 0);
        });
    }

    #[test]
    fn no_deposit_is_lost_beside_a_withdrawal_and_none_goes_over_the_cap() {
        loom::model(|| {
            let tokens = Arc::new(Tokens::new(1_000));
            let other = Arc::clone(&tokens);
            let thread = loom::thread::spawn(move || other.deposit(200, 1_000));
            let paid = tokens.withdraw(1_000);
            thread.join().unwrap();
            assert!(paid);
            assert!([0, 200].contains(&tokens.left()), "{}", tokens.left());
        });
    }
}
