use std::future::Future;
use std::sync::Arc;

use sandtower_core::{BoxError, Seed, Spare, Tick};
use sandtower_e2b::{Config as E2bConfig, SandboxCheck, SandboxTracker};
use tower_layer::Layer;

use crate::engine::{Engine, Room};
use crate::hooks::{Hook, Hooked};
use crate::pool::{Parts, Running, Shared};
use crate::service::Pooled;
use crate::wall::Wall;
use crate::{Config, ConfigError, Pool, Stock, reuse};

/// Serves creations of sandboxes from a warm [`Pool`].
///
/// It belongs above everything that sends, limits and tracks creations, and below the deadline of calls: see
/// [the crate](crate). Its own requests go through the layers below, like those of callers; a request that is
/// not served from stock is passed on unchanged.
///
/// Requests have to be those of a [`Client`](sandtower_e2b::Client) or of a
/// [`RawCreation`](sandtower_e2b::RawCreation), and an [`E2bInterpret`](sandtower_e2b::E2bInterpret) has to
/// be below.
#[derive(Clone, Debug)]
pub struct PoolLayer {
    pool: Pool,
}

/// Builds a [`PoolLayer`].
#[must_use = "a builder does nothing until it is built"]
pub struct PoolBuilder {
    stock: Option<Arc<dyn Stock>>,
    pub(crate) parts: Parts,
}

impl PoolLayer {
    /// A builder of a pool for the account of `e2b`, stocked as `config` says.
    pub fn builder(config: Config, e2b: &E2bConfig) -> PoolBuilder {
        let parts = Parts {
            e2b: e2b.clone(),
            config,
            tracker: SandboxTracker::new(e2b),
            check: SandboxCheck::new(e2b.clone()),
            room: Box::new(Room::unknown),
            wall: Box::new(Wall::now),
            warm_up: None,
            clean: Hook::new(reuse::clean),
            before: None,
            instance: format!("{:08x}", Seed::random().rng().u32(..)),
            waits: false,
        };
        PoolBuilder { stock: None, parts }
    }

    /// A pool for the account of `e2b`, stocked as `config` says.
    ///
    /// # Errors
    ///
    /// The config is invalid; the error says what would be valid.
    pub fn new(config: Config, e2b: &E2bConfig) -> Result<Self, ConfigError> {
        Self::builder(config, e2b).build()
    }

    /// The pool, to read and to control it.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}

impl PoolBuilder {
    /// Has `tracker` kill what is dropped, so that one tracker has all of it.
    pub fn tracker(mut self, tracker: SandboxTracker) -> Self {
        self.parts.check = self.parts.check.tracker(tracker.clone());
        self.parts.tracker = tracker;
        self
    }

    /// The check of a sandbox before it is given to a caller. Default: a command.
    pub fn check(mut self, check: SandboxCheck) -> Self {
        self.parts.check = check;
        self
    }

    /// Asks `room` what the layers below leave to the pool: free slots, and whether the breaker is closed.
    pub fn room(mut self, room: impl Fn() -> Room + Send + Sync + 'static) -> Self {
        self.parts.room = Box::new(room);
        self
    }

    /// Prepares each sandbox before it is in stock, for example by running a command. If `hook` fails, the
    /// sandbox is killed, and the creation has failed.
    pub fn warm_up<F, R>(mut self, hook: F) -> Self
    where
        F: Fn(Hooked) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.parts.warm_up = Some(Hook::new(hook));
        self
    }

    /// Cleans a sandbox between two uses by the same session, if it may be [reused](Config::reuse). Default:
    /// all processes are killed, the home directory is emptied, and both are checked. If `hook` fails, the
    /// sandbox is killed.
    pub fn clean<F, R>(mut self, hook: F) -> Self
    where
        F: Fn(Hooked) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.parts.clean = Hook::new(hook);
        self
    }

    /// Records the stock in `stock`, so that the next process of the same [owner](E2bConfig::owner) counts and
    /// kills what this one leaves behind. Default: the file of [`Config::store`], or none.
    pub fn stock(mut self, stock: impl Stock + 'static) -> Self {
        self.stock = Some(Arc::new(stock));
        self
    }

    /// Sends nothing of its own, and records nothing, before [`Pool::allow_start`]: for a pool whose API key may be
    /// made up. Until then all creations are passed on.
    pub fn wait(mut self) -> Self {
        self.parts.waits = true;
        self
    }

    /// Reads wall time from `wall`, for tests. Default: the system's clock.
    pub fn wall(mut self, wall: impl Fn() -> Wall + Send + Sync + 'static) -> Self {
        self.parts.wall = Box::new(wall);
        self
    }

    /// Draws the name of this process from `seed`, for reproducible runs.
    pub fn seed(mut self, seed: &Seed) -> Self {
        self.parts.instance = format!("{:08x}", seed.rng().u32(..));
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// The config is invalid, or its store cannot be opened; the error says what would be valid.
    pub fn build(self) -> Result<PoolLayer, ConfigError> {
        let engine = Engine::new(self.parts.config.clone(), Tick::now())?;
        let stock = match self.stock {
            Some(stock) => Some(stock),
            None if self
                .parts
                .before
                .as_ref()
                .is_some_and(|before| before.records(&self.parts.config)) =>
            {
                None
            }
            None => stock_of(&self.parts)?,
        };
        if stock.is_some() && !self.parts.e2b.has_owner() {
            return Err(ConfigError::StoreOwner);
        }
        let shared = Arc::new(Shared::new(engine, stock, self.parts));
        Ok(PoolLayer { pool: Pool { running: Arc::new(Running { shared }) } })
    }
}

/// The store that is configured.
fn stock_of(parts: &Parts) -> Result<Option<Arc<dyn Stock>>, ConfigError> {
    let Some(path) = &parts.config.store else { return Ok(None) };
    #[cfg(feature = "sqlite")]
    {
        let stock = crate::SqliteStock::open(path, &parts.e2b);
        let stock = stock.map_err(|error| ConfigError::Store(error.to_string()))?;
        Ok(Some(Arc::new(stock)))
    }
    #[cfg(not(feature = "sqlite"))]
    Err(ConfigError::Store(format!(
        "{} cannot be used: this program is built without the feature `pool-store`",
        path.display()
    )))
}

impl std::fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolBuilder").field("config", &self.parts.config).finish_non_exhaustive()
    }
}

impl<S: Clone> Layer<S> for PoolLayer {
    type Service = Pooled<S>;

    fn layer(&self, inner: S) -> Pooled<S> {
        Pooled::new(Spare::new(inner), self.pool.clone())
    }
}
