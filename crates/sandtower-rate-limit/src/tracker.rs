use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use sandtower_core::{
    Asked, Changed, Clock, Gate, Operation, Refusal, Settlement, Take, Tick, Watchers,
};
use sandtower_time::TokioClock;

use crate::lane::{Blocked, Lane, Level, News, Token};
use crate::{Config, ConfigError, Stats, Status};

/// As many as there are numbers of operations: traffic cannot make it grow.
const LANES: usize = u8::MAX as usize + 1;

/// Counts attempts by operation, and says when the next one may go: a handle, cheap to clone, and a
/// [`Gate`]. All clones are one.
///
/// An attempt is recorded when its token is taken; one that was never sent is given back and not
/// counted. Memory is 4 KiB and, from its first call on, about 800 bytes for each operation, whatever
/// the traffic.
///
/// # Events
///
/// With the target `sandtower::rate_limit`, outside of all locks of the handle, and never from
/// `take` or `give_back`:
///
/// - `WARN`, once when the count of an operation rises to a [level](Config::warn_at) of its limit:
///   `name`, `operation`, `count`, `limit`, `percent`;
/// - `INFO`, when a server begins to hold an operation back: `name`, `operation`, `held_ms`.
#[derive(Clone, Debug)]
pub struct RateLimit {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    lanes: Box<[OnceLock<Box<Locked>>]>,
    watchers: Watchers,
}

/// Alone on its cache lines: two operations share no word that their callers fight over.
#[derive(Debug)]
#[repr(align(64))]
struct Locked {
    operation: Operation,
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

    /// Tracks as [`Config::original`] says.
    pub fn original() -> Self {
        Self::checked(Config::original())
    }

    fn checked(config: Config) -> Self {
        let lanes = std::iter::repeat_with(OnceLock::new).take(LANES).collect();
        Self { shared: Arc::new(Shared { config, lanes, watchers: Watchers::default() }) }
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
            None => Lane::new(operation, &self.shared.config).status(now),
        }
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
    /// way are not counted any more.
    pub fn reset(&self, operation: Operation) {
        if let Some(locked) = self.shared.lanes[operation.index()].get() {
            locked.lock().reset(&self.shared.config);
            self.shared.watchers.notify();
        }
    }

    fn lane(&self, operation: Operation) -> &Locked {
        self.shared.lanes[operation.index()].get_or_init(|| {
            let lane = Mutex::new(Lane::new(operation, &self.shared.config));
            Box::new(Locked { operation, lane })
        })
    }

    #[cold]
    fn refusal(&self, operation: Operation, blocked: Blocked, now: Tick) -> Refusal {
        let name = Arc::clone(&self.shared.config.name);
        let refusal = Refusal::new("rate limit", name, blocked.reason).about(operation);
        match blocked.until {
            Tick::MAX => refusal,
            until => refusal.come_back_in(until.since(now)),
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

    fn take(&self, asked: &Asked, now: Tick) -> Take<Token> {
        let taken = self.lane(asked.operation).lock().take(now, &self.shared.config);
        match taken {
            Ok(token) => Take::Open(token),
            Err(blocked) => {
                Take::NotBefore(blocked.until, self.refusal(asked.operation, blocked, now))
            }
        }
    }

    fn give_back(&self, asked: &Asked, token: Token) {
        self.lane(asked.operation).lock().give_back(token);
    }

    fn settle(&self, asked: &Asked, token: Token, settlement: &Settlement) {
        let locked = self.lane(asked.operation);
        let news = locked.lock().settle(&token, settlement, &self.shared.config);
        if news != News::default() {
            self.tell(locked.operation, news);
        }
    }

    fn watch(&self, changed: Weak<dyn Changed>) {
        self.shared.watchers.add(changed);
    }
}

impl Locked {
    fn lock(&self) -> MutexGuard<'_, Lane> {
        // A lane is whole between any two of its steps, and none of them calls foreign code.
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
