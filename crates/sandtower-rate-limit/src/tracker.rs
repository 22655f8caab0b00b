use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use sandtower_core::{
    Clock, Completion, Gate, Operation, Rejection, RequestInfo, Scope, Subscriber, Subscribers,
    Take, Tick, Verdict,
};
use sandtower_time::TokioClock;

use crate::lane::{Asker, Blocked, Lane, Level, News, Token};
use crate::saving::{self, Saving};
use crate::{Config, ConfigError, Entry, FileStore, Learned, Stats, Status, Store};

/// As many as there are numbers of operations: traffic cannot make it grow.
const LANES: usize = u8::MAX as usize + 1;

/// Counts attempts by operation, and says when the next one may go: a handle, cheap to clone, and a
/// [`Gate`]. All clones are one.
///
/// An attempt is recorded when its token is taken; one that was never sent is given back and not
/// counted. Memory is 4 KiB and, from its first call on, about 800 bytes for each operation and 400 for
/// each of at most 64 scopes of it, whatever the traffic.
///
/// # Events
///
/// With the target `sandtower::rate_limit`, outside of all locks of the handle, and never from
/// `take` or `give_back`:
///
/// - `WARN`, once when the count of an operation rises to a [level](Config::warn_at) of its limit:
///   `name`, `operation`, `count`, `limit`, `percent`;
/// - `INFO`, when a server that throttles begins to hold an operation back: `name`, `operation`,
///   `held_ms`;
/// - `WARN`, once when its store cannot be used: `name`, `error`, `cause`; a [file](FileStore) tells
///   more.
#[derive(Clone, Debug)]
pub struct RateLimit {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    lanes: Box<[OnceLock<Box<Locked>>]>,
    watchers: Subscribers,
    saving: Option<Saving>,
}

/// Alone on its cache lines: two operations share no word that their callers fight over.
#[derive(Debug)]
#[repr(align(64))]
struct Locked {
    lane: Mutex<Lane>,
}

impl RateLimit {
    /// Tracks as `config` says.
    ///
    /// # Errors
    ///
    /// The config makes no sense; the error says what would.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self::checked(config))
    }

    /// Tracks as [`Config::classic`] says.
    pub fn classic() -> Self {
        Self::checked(Config::classic())
    }

    fn checked(config: Config) -> Self {
        let lanes = std::iter::repeat_with(OnceLock::new).take(LANES).collect();
        let watchers = Subscribers::default();
        Self { shared: Arc::new(Shared { config, lanes, watchers, saving: None }) }
    }

    /// Tracks as `config` says, with what `store` has of others, and of the process before. It is
    /// brought up to date by [`sync`](RateLimit::sync) and when the last handle goes.
    ///
    /// Operations are known by their numbers to a store: keep them when a program changes.
    ///
    /// # Errors
    ///
    /// The config makes no sense; the error says what would. A store that cannot be used is none: it
    /// is told of, and all is counted here alone until it can.
    pub fn with_store(config: Config, store: Arc<dyn Store>) -> Result<Self, ConfigError> {
        config.check()?;
        let lanes = std::iter::repeat_with(OnceLock::new).take(LANES).collect();
        let (watchers, saving) = (Subscribers::default(), Some(Saving::new(store)));
        let limit = Self { shared: Arc::new(Shared { config, lanes, watchers, saving }) };
        limit.sync();
        Ok(limit)
    }

    /// Tracks as `config` says, in a [file](FileStore) that survives the process: a thread in the
    /// background writes to it four times a second, and cleans up once a minute. Calls wait for
    /// neither.
    ///
    /// # Errors
    ///
    /// The config makes no sense; the error says what would. A file that cannot be used is told of,
    /// and all is counted here alone until it can.
    pub fn durable(config: Config, path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let store = FileStore::new(path, config.window);
        let limit = Self::with_store(config, Arc::new(store))?;
        let weak = Arc::downgrade(&limit.shared);
        if let Err(error) = saving::in_background(move || {
            let shared = weak.upgrade()?;
            Some(RateLimit { shared })
        }) {
            tracing::warn!(
                target: "sandtower::rate_limit",
                name = limit.name(), %error,
                "no thread to save the rate limit in the background: only `sync` does"
            );
        }
        Ok(limit)
    }

    /// Exchanges with the store, here and now. Without one, does nothing. It may wait for a disk.
    pub fn sync(&self) {
        self.shared.sync();
    }

    /// Removes what has expired from the store: at most 500 rows, 100 at a time. Says how many it
    /// were; none if the store cannot be used, or there is none.
    pub fn cleanup(&self) -> u64 {
        self.shared.saving.as_ref().map_or(0, |saving| saving.cleanup(self.name()))
    }

    fn name(&self) -> &str {
        &self.shared.config.name
    }

    /// How it was configured. A limit that was [changed](RateLimit::set_limit) since shows in the
    /// [status](RateLimit::status).
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// How `operation` stands now.
    pub fn status(&self, operation: Operation) -> Status {
        self.status_at(operation, TokioClock.now())
    }

    /// How `operation` stands at `now`, for who keeps the time himself.
    pub fn status_at(&self, operation: Operation, now: Tick) -> Status {
        match self.shared.lanes[operation.index()].get() {
            Some(locked) => locked.lock().status(now),
            None => Lane::new(operation, self.config()).status(now),
        }
    }

    /// What was learned of the server's own limit on `operation` in `scope`, if anything.
    pub fn learned(&self, operation: Operation, scope: Scope) -> Option<Learned> {
        self.shared.lanes[operation.index()].get()?.lock().learned(scope)
    }

    /// What was sent within the window that ends now.
    pub fn stats(&self) -> Stats {
        self.stats_at(TokioClock.now())
    }

    /// What was sent within the window that ends at `now`, for who keeps the time himself.
    pub fn stats_at(&self, now: Tick) -> Stats {
        let lanes = self.shared.lanes.iter().filter_map(OnceLock::get);
        let by_operation: Vec<_> = lanes.map(|locked| locked.lock().stats(now)).collect();
        let total = by_operation.iter().map(|stats| stats.count).sum();
        Stats { total, by_operation, window: self.shared.config.window }
    }

    /// Limits `operation` to `limit` attempts within the window from now on; `None` lifts the limit.
    /// What was counted so far counts against it.
    ///
    /// # Errors
    ///
    /// The limit is 0.
    pub fn set_limit(&self, operation: Operation, limit: Option<u64>) -> Result<(), ConfigError> {
        if limit == Some(0) {
            return Err(ConfigError::LimitOfZero);
        }
        self.lane(operation).lock().set_limit(limit);
        self.shared.watchers.notify();
        Ok(())
    }

    /// Forgets what `operation` has sent, how fast, and what its server asked for. Attempts under
    /// way are not counted any more. A store keeps what it was told.
    pub fn reset(&self, operation: Operation) {
        if let Some(locked) = self.shared.lanes[operation.index()].get() {
            locked.lock().reset(&self.shared.config);
            self.shared.watchers.notify();
        }
    }

    #[inline]
    pub(crate) fn take_as(&self, asker: Asker, info: &RequestInfo, now: Tick) -> Take<Token> {
        let mut lane = self.lane(info.operation).lock();
        let taken = lane.take(now, info, asker, &self.shared.config);
        drop(lane);
        match taken {
            Ok(token) => Take::Open(token),
            Err(blocked) => {
                Take::NotBefore(blocked.until, self.rejection(info.operation, blocked, now))
            }
        }
    }

    /// When an attempt may go: `now`, or later. Takes nothing.
    pub(crate) fn opens_for(&self, asker: Asker, info: &RequestInfo, now: Tick) -> Tick {
        self.lane(info.operation).lock().opens(now, info.scope, asker)
    }

    fn lane(&self, operation: Operation) -> &Locked {
        self.shared.lane(operation)
    }

    #[cold]
    fn rejection(&self, operation: Operation, blocked: Blocked, now: Tick) -> Rejection {
        let name = Arc::clone(&self.shared.config.name);
        let rejection = Rejection::new("rate limit", name, blocked.reason).about(operation);
        match blocked.until {
            Tick::MAX => rejection,
            until => rejection.come_back_in(until.since(now)),
        }
    }

    fn tell(&self, operation: Operation, news: News) {
        let (name, operation) = (&*self.shared.config.name, operation.name());
        if let Some(Level { percent, count, limit }) = news.level {
            tracing::warn!(
                target: "sandtower::rate_limit",
                name, operation, count, limit, percent,
                "a rate limit is being used up"
            );
        }
        if let Some(held) = news.held {
            let held_ms = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(
                target: "sandtower::rate_limit",
                name, operation, held_ms,
                "the server asked to be left alone"
            );
        }
    }
}

impl Gate for RateLimit {
    type Token = Token;

    fn take(&self, info: &RequestInfo, now: Tick) -> Take<Token> {
        self.take_as(Asker::Gate, info, now)
    }

    fn give_back(&self, info: &RequestInfo, token: Token) {
        self.lane(info.operation).lock().give_back(info.scope, token);
    }

    fn settle(&self, info: &RequestInfo, token: Token, settlement: &Completion) {
        let locked = self.lane(info.operation);
        let news = locked.lock().settle(&token, info.scope, settlement, &self.shared.config);
        if news != News::default() {
            self.tell(info.operation, news);
        }
    }

    /// Far from its limits, an answer that says nothing of them changes nothing.
    #[inline]
    fn settle_untimed(
        &self,
        _asked: &RequestInfo,
        token: Token,
        verdict: &Verdict,
    ) -> Option<Token> {
        if token.is_quiet(verdict) { None } else { Some(token) }
    }

    fn watch(&self, changed: Weak<dyn Subscriber>) {
        self.shared.watchers.add(changed);
    }
}

impl Shared {
    fn lane(&self, operation: Operation) -> &Locked {
        self.lanes[operation.index()].get_or_init(|| {
            let lane = Mutex::new(Lane::new(operation, &self.config));
            Box::new(Locked { lane })
        })
    }

    fn sync(&self) {
        let Some(saving) = &self.saving else { return };
        let lanes = || self.lanes.iter().filter_map(OnceLock::get);
        saving.exchange(
            &self.config.name,
            |wall, ours| lanes().for_each(|locked| locked.lock().unsaved(wall, ours)),
            |operation, count| {
                if let Some(locked) = self.lanes[usize::from(operation)].get() {
                    locked.lock().keep(count);
                }
            },
            |entry, now, wall| match entry {
                Entry::Sent { operation, at, count } => {
                    let ago = Duration::from_millis(wall.saturating_sub(at));
                    let then = Tick::ZERO + now.since(Tick::ZERO).saturating_sub(ago);
                    self.unnamed(operation).lock().others_sent(then, count);
                }
                Entry::Learned { operation, scope, at, interval_low, interval_high } => {
                    let ago = Duration::from_millis(wall.saturating_sub(at));
                    if ago <= self.config.believed {
                        let mut lane = self.unnamed(operation).lock();
                        let scope = Scope::new(scope);
                        lane.believe(scope, interval_low, interval_high, &self.config);
                    }
                }
            },
        );
    }

    /// The lane of an operation that only a store has named so far: by its number.
    fn unnamed(&self, operation: u8) -> &Locked {
        let known = self.config.operation(operation);
        self.lane(known.unwrap_or(Operation::new(operation, "from the store")))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.sync();
    }
}

impl Locked {
    fn lock(&self) -> MutexGuard<'_, Lane> {
        // A lane is whole between any two of its steps, and none of them calls foreign code.
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
