use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use sandtower_core::{
    Clock, Completion, Gate, Rejection, RequestInfo, Scope, Subscriber, Subscribers, Take, Tick,
    Verdict,
};
use sandtower_time::TokioClock;
use serde::Serialize;

use crate::{
    CircuitBreaker, Config, ConfigError, Snapshot, Token,
    config::{Parts, within_a_day},
};

/// How many scopes have a breaker of their own, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a configuration does nothing until breakers are made of it"]
pub struct Scopes {
    most: usize,
    forget_after: Duration,
}

impl Scopes {
    /// `most` scopes at a time, each until nothing was asked of it for 10 min.
    pub const fn new(most: usize) -> Self {
        Self { most, forget_after: Duration::from_secs(10 * 60) }
    }

    /// A scope of which nothing was asked for this long is forgotten, but for one that an operator
    /// forced. More than 0, at most a day.
    pub const fn forget_after(mut self, silence: Duration) -> Self {
        self.forget_after = silence;
        self
    }
}

impl Default for Scopes {
    /// 1,024 scopes.
    fn default() -> Self {
        Self::new(1_024)
    }
}

/// A circuit breaker for each [`Scope`]: a dead region does not close the others. As a [`Gate`] it
/// asks the breaker of what the request [asked](RequestInfo::scope).
///
/// A scope gets its breaker with its first call. Never more than [`Scopes::new`] allows have one of
/// their own. For a newcomer beyond them a place is made by forgetting a scope whose breaker is as
/// good as new, the longest silent first: nothing is lost by that but its counters and history. If all others
/// are in trouble, newcomers share one more breaker, so that not even an outage of every scope makes
/// the table grow; finding that out looks at each of them.
///
/// Before a request is known its scope is not either: nobody is rejected while waiting for the
/// service below to become ready, and a failure to become ready counts for every scope that is kept.
///
/// ```
/// use sandtower_circuit_breaker::{CircuitBreakers, Config, Scopes, State};
/// use sandtower_core::{RequestInfo, Clock, Gate, Scope};
/// use sandtower_time::TokioClock;
///
/// let breakers = CircuitBreakers::new(Config::new("E2B"), Scopes::default())?;
/// let (eu, us) = (Scope::of("eu"), Scope::of("us"));
///
/// breakers.of(eu).force_open();
/// assert_eq!(breakers.of(us).state(), State::Closed);
/// assert_eq!(breakers.len(), 2);
/// # Ok::<(), sandtower_circuit_breaker::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct CircuitBreakers {
    shared: Arc<Shared>,
}

struct Shared {
    parts: Parts,
    scopes: Scopes,
    watchers: Arc<Subscribers>,
    /// Before a breaker's lock, never after.
    table: Mutex<Table>,
}

struct Table {
    kept: HashMap<Scope, Kept>,
    /// Of scopes beyond the most; made when first needed.
    others: Option<CircuitBreaker>,
    forgotten: u64,
    /// When to look next for those that were silent.
    sweep_at: Tick,
}

struct Kept {
    breaker: CircuitBreaker,
    used: Tick,
}

/// What [`CircuitBreakers`] hand out for one attempt: the token of one of them. It stays good when
/// the scope is forgotten meanwhile.
#[derive(Debug)]
#[must_use = "a token has to be given back or settled"]
pub struct ScopedToken {
    breaker: CircuitBreaker,
    token: Token,
}

/// A scope's breaker, as of one instant. Serializes flat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ScopeSnapshot {
    /// The [number](Scope::id) of the scope; `None` for the breaker that the scopes beyond the most
    /// share.
    pub scope: Option<u64>,
    /// Its breaker.
    #[serde(flatten)]
    pub breaker: Snapshot,
}

impl CircuitBreakers {
    /// A breaker with this configuration for each scope.
    ///
    /// # Errors
    ///
    /// The configuration makes no sense; see [`ConfigError`].
    pub fn new(config: Config, scopes: Scopes) -> Result<Self, ConfigError> {
        let parts = config.checked()?;
        if scopes.most == 0 {
            return Err(ConfigError::NoScopes);
        }
        within_a_day("forget_after", scopes.forget_after)?;
        let table = Table {
            kept: HashMap::new(),
            others: None,
            forgotten: 0,
            sweep_at: TokioClock.now() + scopes.forget_after,
        };
        let shared = Shared { parts, scopes, watchers: Arc::default(), table: Mutex::new(table) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The name that their user gave them.
    pub fn name(&self) -> &str {
        &self.shared.parts.name
    }

    /// The breaker that a call of `scope` would ask now. Makes one if there is none, as a call would;
    /// keep it only for as long as you look at it, since the scope may be forgotten.
    pub fn of(&self, scope: Scope) -> CircuitBreaker {
        self.breaker(scope, TokioClock.now())
    }

    /// How many scopes have a breaker of their own.
    pub fn len(&self) -> usize {
        self.lock().kept.len()
    }

    /// Whether no scope has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many scopes were forgotten so far.
    pub fn forgotten(&self) -> u64 {
        self.lock().forgotten
    }

    /// All that they know, now, in the order of their numbers; the one that is shared comes last, if
    /// it was needed.
    pub fn snapshots(&self) -> Vec<ScopeSnapshot> {
        let mut breakers: Vec<_> = {
            let table = self.lock();
            let own = table.kept.iter().map(|(scope, kept)| (Some(scope.id()), &kept.breaker));
            let all = own.chain(table.others.iter().map(|breaker| (None, breaker)));
            all.map(|(scope, breaker)| (scope, breaker.clone())).collect()
        };
        breakers.sort_by_key(|(scope, _)| (scope.is_none(), *scope));
        let read = |(scope, breaker): (_, CircuitBreaker)| ScopeSnapshot {
            scope,
            breaker: breaker.snapshot(),
        };
        breakers.into_iter().map(read).collect()
    }

    fn breaker(&self, scope: Scope, now: Tick) -> CircuitBreaker {
        let Shared { parts, scopes, watchers, .. } = &*self.shared;
        let mut table = self.lock();
        if now >= table.sweep_at {
            table.forget_silent(now, scopes.forget_after);
        }
        if let Some(kept) = table.kept.get_mut(&scope) {
            kept.used = kept.used.max(now);
            return kept.breaker.clone();
        }
        // One stripe: a scope has its share of the calls, and there may be many of them.
        let make = || CircuitBreaker::of(parts, 1, Arc::clone(watchers));
        if table.kept.len() >= scopes.most && !table.make_room() {
            return table.others.get_or_insert_with(make).clone();
        }
        match table.kept.entry(scope) {
            Entry::Occupied(entry) => entry.get().breaker.clone(),
            Entry::Vacant(entry) => {
                entry.insert(Kept { breaker: make(), used: now }).breaker.clone()
            }
        }
    }

    // A panic elsewhere leaves the table in order: no caller's code runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Forgets all of which nothing was asked for `silence`. Looks at everyone, so it runs at most
    /// four times in that time.
    fn forget_silent(&mut self, now: Tick, silence: Duration) {
        self.sweep_at = now + silence / 4;
        let before = self.kept.len();
        self.kept.retain(|_, kept| {
            now.since(kept.used) < silence || kept.breaker.switch().lock().is_forced()
        });
        self.forgotten += (before - self.kept.len()) as u64;
    }

    /// Forgets the longest silent of those that are as good as new; whether there was one.
    fn make_room(&mut self) -> bool {
        let as_new = self.kept.iter().filter(|(_, kept)| kept.breaker.switch().is_as_new());
        let Some(scope) =
            as_new.min_by_key(|(scope, kept)| (kept.used, scope.id())).map(|(scope, _)| *scope)
        else {
            return false;
        };
        self.kept.remove(&scope);
        self.forgotten += 1;
        true
    }
}

impl Gate for CircuitBreakers {
    type Token = ScopedToken;

    fn take(&self, info: &RequestInfo, now: Tick) -> Take<ScopedToken> {
        let breaker = self.breaker(info.scope, now);
        match breaker.take(info, now) {
            Take::Open(token) => Take::Open(ScopedToken { breaker, token }),
            Take::NotBefore(at, why) => Take::NotBefore(at, why),
            Take::Reject(why) => Take::Reject(why),
        }
    }

    fn give_back(&self, info: &RequestInfo, token: ScopedToken) {
        token.breaker.give_back(info, token.token);
    }

    fn settle(&self, info: &RequestInfo, token: ScopedToken, settlement: &Completion) {
        token.breaker.settle(info, token.token, settlement);
    }

    fn head(&self, info: &RequestInfo, token: &mut ScopedToken, settlement: &Completion) -> bool {
        token.breaker.head(info, &mut token.token, settlement)
    }

    fn rejects(&self, info: &RequestInfo, clock: &impl Clock) -> Option<Rejection> {
        let breaker = self.lock().kept.get(&info.scope)?.breaker.clone();
        breaker.peek(clock)
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        if !verdict.is_failure() {
            return;
        }
        let breakers: Vec<_> = {
            let table = self.lock();
            let own = table.kept.values().map(|kept| &kept.breaker);
            own.chain(&table.others).cloned().collect()
        };
        for breaker in breakers {
            breaker.unready(verdict, now);
        }
    }

    fn watch(&self, changed: Weak<dyn Subscriber>) {
        self.shared.watchers.add(changed);
    }
}

impl std::fmt::Debug for CircuitBreakers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CircuitBreakers").field("name", &self.name()).finish_non_exhaustive()
    }
}
