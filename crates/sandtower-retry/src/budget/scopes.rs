//! The purses of single scopes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sandtower_core::Scope;

use super::Terms;

/// Purses that are not full. One that is full is as good as one that never was, so it is forgotten:
/// silent and healthy scopes cost nothing, and no traffic makes the table outgrow its cap.
#[derive(Debug)]
pub(super) struct Scopes {
    terms: Terms,
    /// How many purses there are, so that a success looks no further while all are full.
    len: AtomicUsize,
    purses: Mutex<HashMap<Scope, u64>>,
}

const MOST: usize = 1_024;

/// The purse that scopes share when the table is full of others.
const SHARED: Scope = Scope::new(u64::MAX);

impl Scopes {
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, len: AtomicUsize::new(0), purses: Mutex::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) fn deposit(&self, scope: Scope) {
        if self.len() == 0 {
            return;
        }
        let mut purses = self.lock();
        let scope = if purses.contains_key(&scope) { scope } else { SHARED };
        if let Some(left) = purses.get_mut(&scope) {
            *left = left.saturating_add(self.terms.share).min(self.terms.cap);
            if *left == self.terms.cap {
                purses.remove(&scope);
            }
        }
        self.len.store(purses.len(), Ordering::Relaxed);
    }

    pub(super) fn withdraw(&self, scope: Scope, cost: u64) -> bool {
        let mut purses = self.lock();
        let known = purses.contains_key(&scope) || purses.len() < MOST;
        let left = purses.entry(if known { scope } else { SHARED }).or_insert(self.terms.cap);
        let paid = match left.checked_sub(cost) {
            Some(less) => {
                *left = less;
                true
            }
            None => false,
        };
        self.len.store(purses.len(), Ordering::Relaxed);
        paid
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Scope, u64>> {
        self.purses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { share: 500, cap: 2_000, costs: [1_000; 3] };

    #[test]
    fn scopes_pay_from_purses_of_their_own() {
        let scopes = Scopes::new(TERMS);
        let (eu, us) = (Scope::of("eu"), Scope::of("us"));
        assert!(scopes.withdraw(eu, 2_000));
        assert!(!scopes.withdraw(eu, 1_000));
        assert!(scopes.withdraw(us, 1_000));
    }

    #[test]
    fn a_scope_that_recovered_is_forgotten() {
        let scopes = Scopes::new(TERMS);
        assert!(scopes.withdraw(Scope::of("eu"), 1_000));
        assert_eq!(scopes.len(), 1);
        scopes.deposit(Scope::of("eu"));
        scopes.deposit(Scope::of("eu"));
        assert_eq!(scopes.len(), 0);
    }

    #[test]
    fn however_many_scopes_fail_the_table_stays_bounded() {
        let scopes = Scopes::new(TERMS);
        let paid = (1..10_000).filter(|&id| scopes.withdraw(Scope::new(id), 2_000)).count();
        assert_eq!(scopes.len(), MOST + 1);
        assert_eq!(paid, MOST + 1, "the shared purse pays once");
    }
}
