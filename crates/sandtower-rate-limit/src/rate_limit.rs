use std::sync::{Arc, MutexGuard, OnceLock, Weak};
use std::thread::Thread;

use sandtower_core::{
    Change, Completion, Deferred, Gate, No, Now, Operation, Reason, Rejection, RequestInfo, Scope,
    Stage, Subscriber, Tick, Verdict,
};

use crate::per_operation::{Blocked, Level, News, PerOperation, Permit};
use crate::saving::Saving;
use crate::shared::{Common, Shared};
use crate::{Config, ConfigError, ServerLimit, Snapshot, Status, Store, StoreError};

/// Counts attempts by operation, and says when the next one may go: a handle, cheap to clone, and a
/// [`Gate`]. All clones are one.
///
/// An attempt is counted when its permit is acquired; one that was never sent is given back and not
/// counted. Memory is half a kilobyte and, from its first call on, about 800 bytes for each operation
/// and 300 for each of at most 64 scopes of it, whatever the traffic.
///
/// # Server limits
///
/// After a 429 the scope is held for `Retry-After` and up to a second more, since servers cut it to
/// whole seconds, whatever else the response says; without one, for a backoff that doubles from 1 s
/// to 30 s. When nothing is left, it is held until the reset. From a 429 on a pace is kept that falls
/// by a factor at each 429 and rises slowly with successes. No hold is longer than
/// [`Config::longest_hold`], and while a server says that some is left, without having throttled,
/// nothing is held.
///
/// # Events
///
/// With the target `sandtower::rate_limit`, with no lock held:
///
/// | level | message | fields |
/// |---|---|---|
/// | `WARN` | `rate limit threshold reached`, once when the count of an operation rises to a [level](Config::warn_at) of its limit | `name`, `operation`, `count`, `limit`, `percent`, `enforced` |
/// | `INFO` | `rate limit would have rejected attempts`, in [shadow mode](Config::shadow), at most one in 10 s for an operation | `name`, `operation`, `reason`, `count` since the last |
/// | `INFO` | `server rate limit hold began` | `name`, `operation`, `held_ms` |
/// | `WARN` | `rate limit scopes share a hold`, when more than 64 scopes of an operation are held | `name`, `operation` |
/// | `WARN` | `rate limit store unavailable, counting in memory`, once for each kind of failure | `name`, `kind`, `error`, `cause` |
/// | `INFO` | `rate limit store recovered` | `name` |
#[derive(Clone, Debug)]
pub struct RateLimit {
    handle: Arc<Handle>,
}

/// With the last handle the background thread ends; it holds only what is shared.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    thread: OnceLock<Thread>,
}

impl RateLimit {
    /// Counts in memory.
    ///
    /// # Errors
    ///
    /// The config is invalid; the error says what would be right.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self::checked(config, None))
    }

    /// Watches as [`Config::classic`] says.
    pub fn classic() -> Self {
        Self::checked(Config::classic(), None)
    }

    pub(crate) fn checked(config: Config, saving: Option<Saving>) -> Self {
        let name = Arc::clone(&config.name);
        Self::over(Shared::new(name, Common::new(config), saving))
    }

    /// One of several with the same config.
    pub(crate) fn one_of(common: &Arc<Common>, name: Arc<str>) -> Self {
        Self::over(Shared::new(name, Arc::clone(common), None))
    }

    fn over(shared: Shared) -> Self {
        let shared = Arc::new(shared);
        Self { handle: Arc::new(Handle { shared, thread: OnceLock::new() }) }
    }

    /// Whether it must not be forgotten: a permit or another handle is out, or it may hold back an
    /// attempt, or has counted one that matters to a limit.
    pub(crate) fn is_in_use(&self, now: Tick) -> bool {
        Arc::strong_count(&self.handle) > 1 || self.handle.shared.is_in_use(now)
    }

    /// Counts together with what `store` has of others, and of the process before. It is brought up
    /// to date by [`sync`](RateLimit::sync), by [`close`](RateLimit::close) and when the last handle
    /// is dropped. Reads the store once, so it may block.
    ///
    /// A store knows operations by their numbers: keep them when a program changes.
    ///
    /// # Errors
    ///
    /// The config is invalid. A store that cannot be used is no error: an event says so, and counts
    /// are kept in memory until it can.
    pub fn with_store(config: Config, store: Arc<dyn Store>) -> Result<Self, ConfigError> {
        config.check()?;
        let limit = Self::checked(config, Some(Saving::new(store)));
        limit.sync();
        Ok(limit)
    }

    /// Counts in an SQLite database that survives the process, and that several processes on one
    /// machine share: see [`SqliteStore`](crate::SqliteStore). A background thread exchanges with it
    /// four times a second and cleans up once a minute; no call waits for the database.
    ///
    /// [Close](RateLimit::close) it before the process ends. Dropping the last handle does the same in
    /// place, which may block for about a second, but cannot say whether it worked. A process that is killed loses what was sent in its last
    /// second at most.
    ///
    /// # Errors
    ///
    /// As of [`with_store`](RateLimit::with_store).
    #[cfg(feature = "sqlite")]
    pub fn durable(
        config: Config,
        path: impl Into<std::path::PathBuf>,
    ) -> Result<Self, ConfigError> {
        let store = crate::SqliteStore::new(path, config.window);
        let limit = Self::with_store(config, Arc::new(store))?;
        limit.save_in_background();
        Ok(limit)
    }

    /// Exchanges with the store four times a second, in a thread of its own, until the last handle is
    /// gone. Does nothing without a store, or the second time. If no thread can be started, an event
    /// says so, and only [`sync`](RateLimit::sync) exchanges.
    pub fn save_in_background(&self) {
        if self.handle.shared.saving.is_none() || self.handle.thread.get().is_some() {
            return;
        }
        let shared = Arc::downgrade(&self.handle.shared);
        let started = Saving::in_background(move |clean| {
            let Some(shared) = shared.upgrade() else { return false };
            shared.exchange_in_background(clean)
        });
        match started {
            Ok(thread) => drop(self.handle.thread.set(thread)),
            Err(error) => tracing::warn!(
                target: "sandtower::rate_limit",
                name = self.name(), %error,
                "rate limit store is not saved in the background: no thread"
            ),
        }
    }

    /// Exchanges with the store, here and now. Does nothing without one. It may block for about a
    /// second. If the store fails, an event says so.
    pub fn sync(&self) {
        // An event says so.
        let _ = self.handle.shared.exchange();
    }

    /// Exchanges with the store for the last time, and releases it. From here on the limit counts in
    /// memory. Does nothing without a store, or the second time. It may block for about a second.
    ///
    /// # Errors
    ///
    /// What was sent since the exchange before is not in the store; the error says why.
    pub fn close(&self) -> Result<(), StoreError> {
        self.handle.close()
    }

    /// Removes what has expired from the store: at most 500 rows, 100 at a time. Returns how many
    /// were removed: 0 if the store cannot be used, or there is none.
    pub fn cleanup(&self) -> u64 {
        self.handle.shared.saving.as_ref().map_or(0, |saving| saving.cleanup(self.name()))
    }

    /// The name in rejections, events and snapshots.
    pub fn name(&self) -> &str {
        &self.handle.shared.name
    }

    /// How it was configured. A limit that was [changed](RateLimit::set_limit) since shows in the
    /// [status](RateLimit::status).
    pub fn config(&self) -> &Config {
        self.handle.shared.config()
    }

    /// How `operation` stands now.
    pub fn status(&self, operation: Operation) -> Status {
        self.status_at(operation, Tick::now())
    }

    /// How `operation` stands at `now`.
    pub fn status_at(&self, operation: Operation, now: Tick) -> Status {
        match self.handle.shared.known(operation) {
            Some(mut counted) => counted.status(now),
            None => {
                let mut counted = PerOperation::new(operation, self.config());
                counted.set_shadow(self.is_shadow());
                counted.status(now)
            }
        }
    }

    /// What the responses have said of the server's own limit on `operation` in `scope`, if they
    /// said anything.
    pub fn server_limit(&self, operation: Operation, scope: Scope) -> Option<ServerLimit> {
        self.handle.shared.known(operation)?.server_limit(scope, Tick::now())
    }

    /// What was sent within the window that ends now.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot_at(Tick::now())
    }

    /// What was sent within the window that ends at `now`.
    pub fn snapshot_at(&self, now: Tick) -> Snapshot {
        let by_operation: Vec<_> =
            self.handle.shared.each().map(|mut counted| counted.snapshot(now)).collect();
        let total = by_operation.iter().map(|stats| stats.count).fold(0, u64::saturating_add);
        let Config { window, .. } = *self.config();
        let store_available = self.handle.shared.saving.as_ref().map(Saving::is_available);
        let enforced = !self.is_shadow();
        Snapshot { total, by_operation, enforced, window, store_available }
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
        self.of_operation(operation).set_limit(limit);
        self.handle.shared.common.subscribers.notify(Change::Opened);
        Ok(())
    }

    /// Whether it is in [shadow mode](Config::shadow).
    pub fn is_shadow(&self) -> bool {
        self.handle.shared.common.is_shadow()
    }

    /// Enters [shadow mode](Config::shadow), or leaves it. What was counted and learned until then
    /// stands: left while an operation is beyond its limit, its next attempt is rejected.
    ///
    /// One of [`RateLimits`](crate::RateLimits) shares its mode with the others.
    pub fn set_shadow(&self, shadow: bool) {
        self.handle.shared.common.set_shadow(shadow);
    }

    /// Forgets what `operation` has sent, how fast, and what its server asked for. Attempts under
    /// way are no longer counted. A store keeps what it has.
    pub fn reset(&self, operation: Operation) {
        if let Some(mut counted) = self.handle.shared.known(operation) {
            counted.reset(self.config());
            drop(counted);
            self.handle.shared.common.subscribers.notify(Change::Opened);
        }
    }

    fn of_operation(&self, operation: Operation) -> MutexGuard<'_, PerOperation> {
        self.handle.shared.of_operation(operation)
    }

    #[cold]
    fn no(&self, operation: Operation, blocked: Blocked, now: Tick) -> No {
        let Blocked { until, reason } = blocked;
        let name = Arc::clone(&self.handle.shared.name);
        let why = Rejection::new("rate limit", name, reason).about(operation);
        let why = match until {
            Tick::MAX => why,
            until => why.come_back_in(until.since(now)),
        };
        No::Wait { earliest: until, look_again: until, why }
    }

    /// Reports all of `news` when no lock is held.
    fn tell(&self, operation: Operation, news: News, later: &mut Deferred) {
        if news.opened {
            later.notify(&self.handle.shared.common.subscribers, Change::Opened);
        }
        let quiet = News { opened: false, ..news } == News::default();
        if !quiet {
            let name = Arc::clone(&self.handle.shared.name);
            later.run(move || write_events(&name, operation.name(), news));
        }
    }
}

fn write_events(name: &str, operation: &str, news: News) {
    if let Some(Level { percent, count, limit, enforced }) = news.level {
        tracing::warn!(
            target: "sandtower::rate_limit",
            name, operation, count, limit, percent, enforced,
            "rate limit threshold reached"
        );
    }
    if let Some(held) = news.held {
        let held_ms = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            target: "sandtower::rate_limit",
            name, operation, held_ms,
            "server rate limit hold began"
        );
    }
    if news.scopes_shared {
        tracing::warn!(
            target: "sandtower::rate_limit",
            name, operation,
            "rate limit scopes share a hold"
        );
    }
}

fn write_would_have_rejected(name: &str, operation: &str, reason: Reason, count: u64) {
    tracing::info!(
        target: "sandtower::rate_limit",
        name, operation, reason = reason.label(), count,
        "rate limit would have rejected attempts"
    );
}

impl Gate for RateLimit {
    type Permit = Permit;

    fn check(&self, request: Option<&RequestInfo>, now: &Now) -> Option<No> {
        // No limit is one of every request.
        let request = request?;
        let blocked = self.of_operation(request.operation).check(now.tick(), request.scope)?;
        Some(self.no(request.operation, blocked, now.tick()))
    }

    fn try_acquire(
        &self,
        request: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<Permit, No> {
        let taken = self.of_operation(request.operation).take(now.tick(), request, self.config());
        let (permit, would_have) =
            taken.map_err(|blocked| self.no(request.operation, blocked, now.tick()))?;
        if let Some((reason, count)) = would_have {
            let (name, operation) = (Arc::clone(&self.handle.shared.name), request.operation);
            later.run(move || write_would_have_rejected(&name, operation.name(), reason, count));
        }
        Ok(permit)
    }

    fn record(
        &self,
        request: &RequestInfo,
        permit: Permit,
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<Permit> {
        if done.stage != Stage::NotSent && permit.is_quiet(&done.verdict) {
            return None;
        }
        let news = match done.stage {
            Stage::NotSent => self.of_operation(request.operation).give_back(request.scope, permit),
            // The head of a response says all that there is to learn.
            Stage::Head | Stage::End => {
                let mut counted = self.of_operation(request.operation);
                counted.record(&permit, request.scope, done, self.config())
            }
        };
        self.tell(request.operation, news, later);
        None
    }

    fn not_ready(&self, _verdict: &Verdict, _now: &Now, _later: &mut Deferred) {}

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.handle.shared.common.subscribers.add(subscriber);
    }
}

impl Handle {
    fn close(&self) -> Result<(), StoreError> {
        let Some(saving) = &self.shared.saving else { return Ok(()) };
        let closed = saving.close(&self.shared.name, &*self.shared);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
        closed
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // An event says so.
        let _ = self.close();
    }
}
