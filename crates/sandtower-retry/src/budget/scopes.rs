//! The budgets of single scopes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandtower_core::{Now, Scope, Tick};

use super::Terms;

/// Budgets that are not full. A full one equals a new one, so it is dropped, and so is one whose scope was
/// silent for [`SILENT`]: healthy and silent scopes cost nothing.
///
/// A scope that is active is never evicted. When the table is full of active ones, further scopes
/// share one budget.
#[derive(Debug)]
pub(super) struct Scopes {
    terms: Terms,
    /// How many budgets there are, so that a success stops here while all are full.
    len: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    budgets: HashMap<Scope, Entry>,
    /// The budget of scopes without their own.
    shared: Option<Entry>,
    /// Before this no scope in the full table can have become silent.
    sweep_at: Tick,
    /// When the last overflow event was due.
    logged_at: Option<Tick>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    left: u64,
    last: Tick,
}

/// The most scopes with a budget of their own.
pub(super) const MOST: usize = 1_024;
/// A scope without a call for this long starts over: it had no chance to earn tokens, and what broke it
/// ten minutes ago says little.
const SILENT: Duration = Duration::from_secs(600);
/// The least time between two events of an overflow.
const TELL_EACH: Duration = Duration::from_secs(60);

/// The result of a withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Withdrawal {
    pub(super) paid: bool,
    /// The table is full, and an event is due.
    pub(super) tell_overflow: bool,
}

impl Scopes {
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, len: AtomicUsize::new(0), table: Mutex::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) fn deposit(&self, scope: Scope, now: &Now) {
        if self.len() == 0 {
            return;
        }
        let mut table = self.lock();
        let Table { budgets, shared, .. } = &mut *table;
        if let Some(entry) = budgets.get_mut(&scope) {
            if entry.earn(&self.terms, now.tick()) {
                budgets.remove(&scope);
            }
        } else if let Some(entry) = shared
            && entry.earn(&self.terms, now.tick())
        {
            *shared = None;
        }
        self.len.store(table.len(), Ordering::Relaxed);
    }

    pub(super) fn withdraw(&self, scope: Scope, cost: u64, now: Tick) -> Withdrawal {
        let mut table = self.lock();
        let has_own = table.has_room_for(scope, now);
        let tell_overflow = !has_own && table.is_time_to_tell(now);
        let full = Entry { left: self.terms.cap, last: now };
        let Table { budgets, shared, .. } = &mut *table;
        let entry = match has_own {
            true => budgets.entry(scope).or_insert(full),
            false => shared.get_or_insert(full),
        };
        if entry.is_silent(now) {
            *entry = full;
        }
        entry.last = now;
        let less = entry.left.checked_sub(cost);
        if let Some(less) = less {
            entry.left = less;
        }
        self.len.store(table.len(), Ordering::Relaxed);
        Withdrawal { paid: less.is_some(), tell_overflow }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whether it is full afterwards.
    fn earn(&mut self, terms: &Terms, now: Tick) -> bool {
        if self.is_silent(now) {
            return true;
        }
        self.left = self.left.saturating_add(terms.share).min(terms.cap);
        self.last = now;
        self.left == terms.cap
    }

    fn is_silent(&self, now: Tick) -> bool {
        now.since(self.last) >= SILENT
    }
}

impl Table {
    fn len(&self) -> usize {
        self.budgets.len() + usize::from(self.shared.is_some())
    }

    /// Whether `scope` has its own budget, or can get one.
    fn has_room_for(&mut self, scope: Scope, now: Tick) -> bool {
        if self.budgets.len() < MOST || self.budgets.contains_key(&scope) {
            return true;
        }
        if now >= self.sweep_at {
            self.budgets.retain(|_, entry| !entry.is_silent(now));
            let oldest = self.budgets.values().map(|entry| entry.last).min();
            self.sweep_at = oldest.unwrap_or(now) + SILENT;
        }
        self.budgets.len() < MOST
    }

    fn is_time_to_tell(&mut self, now: Tick) -> bool {
        let is_time = self.logged_at.is_none_or(|logged| now.since(logged) >= TELL_EACH);
        if is_time {
            self.logged_at = Some(now);
        }
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { share: 500, cap: 2_000, costs: [1_000; 3] };

    fn at(seconds: u64) -> Tick {
        Tick::ZERO + Duration::from_secs(seconds)
    }

    fn pays(scopes: &Scopes, scope: Scope, cost: u64, seconds: u64) -> bool {
        scopes.withdraw(scope, cost, at(seconds)).paid
    }

    #[test]
    fn scopes_pay_from_budgets_of_their_own() {
        let scopes = Scopes::new(TERMS);
        let (eu, us) = (Scope::of("eu"), Scope::of("us"));
        assert!(pays(&scopes, eu, 2_000, 0));
        assert!(!pays(&scopes, eu, 1_000, 0));
        assert!(pays(&scopes, us, 1_000, 0));
    }

    #[test]
    fn a_scope_that_recovered_is_forgotten() {
        let scopes = Scopes::new(TERMS);
        assert!(pays(&scopes, Scope::of("eu"), 1_000, 0));
        assert_eq!(scopes.len(), 1);
        scopes.deposit(Scope::of("eu"), &Now::at(at(0)));
        assert_eq!(scopes.len(), 1, "half of what it paid is back");
        scopes.deposit(Scope::of("eu"), &Now::at(at(0)));
        assert_eq!(scopes.len(), 0);
    }

    #[test]
    fn however_many_scopes_fail_the_table_stays_bounded() {
        let scopes = Scopes::new(TERMS);
        let paid = (1..10_000).filter(|&id| pays(&scopes, Scope::new(id), 2_000, 0)).count();
        assert_eq!(scopes.len(), MOST + 1);
        assert_eq!(paid, MOST + 1, "the shared budget pays once");
    }

    /// Fills the table with scopes that have nothing left.
    fn full() -> Scopes {
        let scopes = Scopes::new(TERMS);
        (1..=MOST as u64).for_each(|id| assert!(pays(&scopes, Scope::new(id), 2_000, 0)));
        scopes
    }

    #[test]
    fn silent_scopes_go_and_new_ones_get_budgets_of_their_own_again() {
        const YEAR: u64 = 365 * 86_400;
        for silence in [600, 3_600, YEAR] {
            let scopes = full();
            for tenant in 0..100 {
                let scope = Scope::new(1_000_000 + tenant);
                assert!(pays(&scopes, scope, 2_000, silence), "{silence} s, tenant {tenant}");
            }
            assert_eq!(scopes.len(), 100);
        }
    }

    #[test]
    fn a_silent_scope_starts_over_even_while_the_table_has_space() {
        let scopes = Scopes::new(TERMS);
        let eu = Scope::of("eu");
        assert!(pays(&scopes, eu, 2_000, 0));
        assert!(!pays(&scopes, eu, 2_000, 599));
        assert!(!pays(&scopes, eu, 2_000, 1_198), "it was not silent");
        assert!(pays(&scopes, eu, 2_000, 1_798));
        scopes.deposit(eu, &Now::at(at(3_000)));
        assert_eq!(scopes.len(), 0);
    }

    #[test]
    fn an_active_scope_is_never_evicted() {
        let scopes = full();
        let active = Scope::new(7);
        for seconds in (0..6_000).step_by(300) {
            assert!(!pays(&scopes, active, 2_000, seconds), "it was evicted at {seconds} s");
            pays(&scopes, Scope::new(1_000_000 + seconds), 2_000, seconds);
        }
    }

    #[test]
    fn the_shared_budget_is_forgotten_in_silence_too() {
        let scopes = full();
        assert!(pays(&scopes, Scope::new(1_000_000), 2_000, 0));
        assert!(!pays(&scopes, Scope::new(1_000_001), 2_000, 0));
        for id in 1..=MOST as u64 {
            pays(&scopes, Scope::new(id), 2_000, 599);
        }
        assert!(pays(&scopes, Scope::new(1_000_002), 2_000, 600), "it still shares");
    }

    #[test]
    fn an_overflow_is_logged_once_a_minute() {
        let scopes = full();
        let logs = |seconds| {
            let scope = Scope::new(1_000_000 + seconds);
            scopes.withdraw(scope, 1_000, at(seconds)).tell_overflow
        };
        assert!(logs(0));
        assert!((1..60).all(|seconds| !logs(seconds)));
        assert!(logs(60));
    }
}
