use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use sandtower_core::{
    Completion, Deferred, Gate, No, Now, RequestInfo, Scope, Subscriber, Tick, Verdict,
};
use serde::Serialize;

use crate::{
    CircuitBreaker, Config, ConfigError, Permit, Snapshot, breaker::Common, config::within_a_day,
    events, scopes::Scopes,
};

/// A circuit breaker for each [`Scope`]: a dead region does not close the others. As a [`Gate`] it
/// asks the breaker of the [scope of the request](RequestInfo::scope).
///
/// A scope gets its breaker with its first call, and is forgotten when nothing was asked of it for a
/// while. A breaker that protects its service is never forgotten: one with a call in flight, one that
/// is open, however long its server asked for, and one that an operator forced. A half-open one is
/// forgotten when it could have sent a probe for that while, and no call came.
///
/// Never more scopes than [`Scopes::new`] allows have a breaker of their own. For a new scope beyond
/// them, one is forgotten whose breaker is as good as new, the longest silent first: that loses its
/// counters and history. If there is none, new scopes share one more breaker, so that not even an
/// outage of every scope makes the table grow; a `WARN` event tells so once, and the last of the
/// [snapshots](Self::snapshots) is that breaker.
///
/// Before a request is known its scope is not either: no call is rejected while it waits for the
/// service below to become ready, and a failure to become ready counts for every scope that is kept.
///
/// ```
/// use sandtower_circuit_breaker::{CircuitBreakers, Config, Scopes, State};
/// use sandtower_core::Scope;
///
/// let (eu, us) = (Scope::of("eu"), Scope::of("us"));
/// let scopes = Scopes::default().named(move |scope| match scope {
///     scope if scope == eu => "eu".to_owned(),
///     _ => "us".to_owned(),
/// });
/// let breakers = CircuitBreakers::new(Config::recommended("search"), scopes)?;
///
/// breakers.of(eu).force_open();
/// assert_eq!(breakers.of(us).snapshot().state, State::Closed);
/// assert_eq!(breakers.of(eu).name(), "search/eu");
/// # Ok::<(), sandtower_circuit_breaker::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct CircuitBreakers {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    name: Arc<str>,
    scopes: Scopes,
    common: Arc<Common>,
    /// Before a breaker's lock, never after.
    table: Mutex<Table>,
}

struct Table {
    kept: HashMap<Scope, Kept>,
    /// Of scopes beyond the most; created when first needed.
    others: Option<Kept>,
    forgotten: u64,
    /// When to look next for those that were silent.
    sweep_at: Tick,
}

struct Kept {
    breaker: CircuitBreaker,
    used: Tick,
}

/// What [`CircuitBreakers`] give for one attempt: the permit of one of them.
#[derive(Debug)]
#[must_use = "a permit has to be recorded"]
pub struct ScopedPermit {
    breaker: CircuitBreaker,
    permit: Permit,
}

/// A scope's breaker, as of one instant. Serializes flat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ScopeSnapshot {
    /// The [number](Scope::id) of the scope, whose name is in that of the breaker; `None` for the
    /// breaker that the scopes beyond the most share.
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
    /// The configuration is invalid; [`ConfigError`] says what would be right.
    pub fn new(config: Config, scopes: Scopes) -> Result<Self, ConfigError> {
        config.check()?;
        if scopes.most == 0 {
            let because = "no scope has a breaker";
            return Err(ConfigError::Zero { setting: "scopes", because });
        }
        within_a_day("forget_after", scopes.forget_after)?;
        let sweep_at = Tick::now() + scopes.forget_after;
        let table = Table { kept: HashMap::new(), others: None, forgotten: 0, sweep_at };
        let (name, common) = (config.name_of(), Common::new(&config));
        let shared = Shared { config, name, scopes, common, table: Mutex::new(table) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The name that their user gave them.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The breaker that a call of `scope` would ask now. Creates one if there is none, as a call
    /// would; it is not forgotten while the handle is held.
    pub fn of(&self, scope: Scope) -> CircuitBreaker {
        let mut later = Deferred::new();
        self.breaker(scope, Tick::now(), &mut later)
    }

    /// Whether all of them are in [shadow mode](Config::shadow).
    pub fn is_shadow(&self) -> bool {
        self.shared.common.is_shadow()
    }

    /// Has all of them enter [shadow mode](Config::shadow), or leave it: those of later scopes too.
    pub fn set_shadow(&self, shadow: bool) {
        self.shared.common.set_shadow(shadow);
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
    /// there is one.
    pub fn snapshots(&self) -> Vec<ScopeSnapshot> {
        let mut breakers = self.all();
        breakers.sort_by_key(|(scope, _)| (scope.is_none(), *scope));
        let read = |(scope, breaker): (_, CircuitBreaker)| ScopeSnapshot {
            scope,
            breaker: breaker.snapshot(),
        };
        breakers.into_iter().map(read).collect()
    }

    fn all(&self) -> Vec<(Option<u64>, CircuitBreaker)> {
        let table = self.lock();
        let own = table.kept.iter().map(|(scope, kept)| (Some(scope.id()), kept));
        let all = own.chain(table.others.iter().map(|kept| (None, kept)));
        all.map(|(scope, kept)| (scope, kept.breaker.clone())).collect()
    }

    fn breaker(&self, scope: Scope, now: Tick, later: &mut Deferred) -> CircuitBreaker {
        let Shared { name, scopes, .. } = &*self.shared;
        let has_room = {
            let mut table = self.lock();
            if now >= table.sweep_at {
                table.forget_silent(now, scopes.forget_after);
            }
            if let Some(kept) = table.kept.get_mut(&scope) {
                return kept.used_at(now);
            }
            table.make_room(scopes.most)
        };
        // Its user's function is not called under the lock.
        let own_name = has_room.then(|| format!("{name}/{}", scopes.name(scope)));
        let mut table = self.lock();
        if let Some(kept) = table.kept.get_mut(&scope) {
            return kept.used_at(now);
        }
        // Another thread may have filled the table meanwhile.
        if let Some(own_name) = own_name
            && table.kept.len() < scopes.most
        {
            let kept = self.create(own_name, now);
            return table.kept.entry(scope).or_insert(kept).used_at(now);
        }
        let create_others = || {
            let (owner, most) = (Arc::clone(name), scopes.most);
            later.run(move || events::scopes_full(&owner, most));
            self.create(format!("{name}/others"), now)
        };
        table.others.get_or_insert_with(create_others).used_at(now)
    }

    fn create(&self, name: String, now: Tick) -> Kept {
        let Shared { config, common, .. } = &*self.shared;
        let breaker = CircuitBreaker::of(config, name.into(), Arc::clone(common), now);
        Kept { breaker, used: now }
    }

    // A panic elsewhere leaves the table in order: no caller's code runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Forgets all of which nothing was asked for `silence`. Looks at each, so it runs at most four
    /// times in that time.
    fn forget_silent(&mut self, now: Tick, silence: Duration) {
        self.sweep_at = now + silence / 4;
        let before = self.kept.len();
        self.kept.retain(|_, kept| !kept.is_silent(now, silence));
        self.forgotten += (before - self.kept.len()) as u64;
        self.others.take_if(|kept| kept.is_silent(now, silence));
    }

    /// Whether one more may be kept, if need be after forgetting the longest silent of those that are
    /// as good as new.
    fn make_room(&mut self, most: usize) -> bool {
        if self.kept.len() < most {
            return true;
        }
        let as_new = self.kept.iter().filter(|(_, kept)| kept.is_as_new());
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

impl Kept {
    fn used_at(&mut self, now: Tick) -> CircuitBreaker {
        self.used = self.used.max(now);
        self.breaker.clone()
    }

    /// Whether nothing was asked or heard for `silence`, although it let calls through.
    fn is_silent(&self, now: Tick, silence: Duration) -> bool {
        let of_use_until = || self.breaker.switch().lock().of_use_until();
        now.since(self.used) >= silence
            && self.breaker.is_unused()
            && now.since(of_use_until()) >= silence
    }

    fn is_as_new(&self) -> bool {
        let switch = self.breaker.switch();
        // Unused before the lock: what came of its last call is known by then.
        switch.is_quiet() && self.breaker.is_unused() && {
            let engine = switch.lock();
            engine.is_quiet() && !engine.is_forced()
        }
    }
}

impl Gate for CircuitBreakers {
    type Permit = ScopedPermit;

    fn check(&self, request: Option<&RequestInfo>, now: &Now) -> Option<No> {
        let breaker = self.lock().kept.get(&request?.scope)?.breaker.clone();
        breaker.check(request, now)
    }

    fn try_acquire(
        &self,
        request: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<ScopedPermit, No> {
        let breaker = self.breaker(request.scope, now.tick(), later);
        let permit = breaker.try_acquire(request, now, later)?;
        Ok(ScopedPermit { breaker, permit })
    }

    fn record(
        &self,
        request: &RequestInfo,
        permit: ScopedPermit,
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<ScopedPermit> {
        let ScopedPermit { breaker, permit } = permit;
        let permit = breaker.record(request, permit, done, later)?;
        Some(ScopedPermit { breaker, permit })
    }

    fn not_ready(&self, verdict: &Verdict, now: &Now, later: &mut Deferred) {
        if verdict.is_failure() {
            for (_, breaker) in self.all() {
                breaker.not_ready(verdict, now, later);
            }
        }
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.shared.common.subscribe(subscriber);
    }
}

impl std::fmt::Debug for CircuitBreakers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CircuitBreakers").field("name", &self.name()).finish_non_exhaustive()
    }
}
