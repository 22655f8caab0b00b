//! A gateway that runs, and what its parts share.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use sandtower::core::BoxError;
use tokio::task::JoinSet;

use crate::access_log::AccessLog;
use crate::config::Config;
use crate::generation::Generation;
use crate::journal::{Journal, Recovery};
use crate::keys::Keys;
use crate::proxy::Searches;
use crate::sandboxes::Sandboxes;
use crate::server::{Server, TlsSlot, Tracked};
use crate::virtual_keys::VirtualKeys;

/// How long the clean-up of one key may take at shutdown.
const CLEAN_UP: Duration = Duration::from_secs(150);

/// What all workers share, whatever is reloaded.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) generation: ArcSwap<Generation>,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) searches: Searches,
    pub(crate) virtual_keys: VirtualKeys,
    pub(crate) in_flight: Tracked,
    pub(crate) access_log: AccessLog,
    pub(crate) tls: TlsSlot,
    pub(crate) journal: Option<Arc<Journal>>,
    pub(crate) recovery: Recovery,
    is_draining: AtomicBool,
    /// Stacks that a reload has replaced, as long as they clean up.
    retired: Mutex<Vec<Arc<Keys>>>,
}

impl Shared {
    /// Whether it takes no more traffic.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Whether no stack that a reload has replaced cleans up.
    pub(crate) fn retired_are_idle(&self) -> bool {
        self.retired().iter().all(|keys| keys.is_idle())
    }

    fn retired(&self) -> MutexGuard<'_, Vec<Arc<Keys>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A gateway that serves requests in threads of its own, until it is shut down.
///
/// ```no_run
/// use sandtower_gateway::{Gateway, config::Source};
///
/// # async fn example() -> Result<(), sandtower::core::BoxError> {
/// let gateway = Gateway::start(Source::new().file("sandtower.toml").read()?)?;
/// println!("listening on {}", gateway.address());
/// gateway.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Gateway {
    pub(crate) shared: Arc<Shared>,
    server: Server,
    reloading: Mutex<()>,
}

/// What a reload has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Settings that differ from those that run, and need a restart.
    pub needs_restart: Vec<&'static str>,
}

impl Gateway {
    /// Starts a gateway, whose access log goes to the standard output. Once this returns, connections are
    /// accepted.
    ///
    /// # Errors
    ///
    /// The configuration is invalid, or the gateway cannot listen there.
    pub fn start(config: Config) -> Result<Self, BoxError> {
        Self::start_logging(config, std::io::stdout())
    }

    /// The same, with the access log written to `log`.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_logging(
        config: Config,
        log: impl Write + Send + 'static,
    ) -> Result<Self, BoxError> {
        let tls = TlsSlot::new(config.tls.as_ref())?;
        let generation = Generation::new(config)?;
        let opened = generation.config.journal.as_deref().map(Journal::open).transpose()?;
        let (journal, left) = opened.unzip();
        let virtual_keys = VirtualKeys::open(generation.config.keys.store.as_deref())?;
        if generation.config.keys.store.is_none() && !generation.upstreams.is_empty() {
            tracing::warn!(
                "virtual keys are kept in memory, and lost at a restart: set `keys.store`"
            );
        }
        virtual_keys.configure(&generation.upstreams, &generation.declared);
        let shared = Arc::new(Shared {
            sandboxes: Sandboxes::new(generation.config.limits.sandboxes.get()),
            searches: Searches::default(),
            virtual_keys,
            generation: ArcSwap::from_pointee(generation),
            in_flight: Tracked::default(),
            access_log: AccessLog::new(log)?,
            tls,
            journal: journal.map(Arc::new),
            recovery: Recovery::new(left.unwrap_or_default()),
            is_draining: AtomicBool::new(false),
            retired: Mutex::default(),
        });
        let server = Server::start(&shared)?;
        Ok(Self { shared, server, reloading: Mutex::default() })
    }

    /// The virtual keys.
    pub fn virtual_keys(&self) -> &VirtualKeys {
        &self.shared.virtual_keys
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// How many connections of clients are open.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// How many requests are in flight, those included whose response is still being sent.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.count()
    }

    /// Replaces the configuration as a whole: requests that have begun end under the one before. The stacks
    /// stay as they are, with what they have learned, unless their own settings have changed. Certificates
    /// are read again.
    ///
    /// # Errors
    ///
    /// The configuration is invalid: the one that runs stays.
    pub fn reload(&self, config: Config) -> Result<Reloaded, BoxError> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.shared.generation.load_full();
        let needs_restart = needs_restart(&before.config, &config);
        let config = Config { workers: before.config.worker_count(), ..config };
        let next = Generation::after(&before, config)?;
        // Before anything is replaced: a certificate that cannot be used is an error of the whole.
        self.shared.tls.replace(next.config.tls.as_ref())?;
        let mut retired = self.shared.retired();
        retired.retain(|keys| !keys.is_idle() || keys.has_stock());
        for keys in before.places().map(|place| &place.keys) {
            if !next.places().any(|place| Arc::ptr_eq(keys, &place.keys)) {
                keys.retire(next.places().any(|place| place.keys.follows(keys)));
                retired.push(Arc::clone(keys));
            }
        }
        drop(retired);
        self.shared.virtual_keys.configure(&next.upstreams, &next.declared);
        self.shared.generation.store(Arc::new(next));
        Ok(Reloaded { needs_restart })
    }

    /// Fails the readiness probe, waits for the configured time, then accepts no more connections and
    /// closes those that are idle. Waits for the requests in flight, and kills orphaned sandboxes.
    /// `false`: some were left when the time was over.
    pub async fn drain(&self) -> bool {
        self.shared.is_draining.store(true, Ordering::Relaxed);
        let times = self.shared.generation.load().config.shutdown.clone();
        tokio::time::sleep(times.delay).await;
        let is_done = self.server.drain(times.longest).await;
        self.clean_up().await && is_done
    }

    /// Ends at once, as dropping it does.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// [Drains](Self::drain), then ends.
    pub async fn shutdown(self) -> bool {
        let is_done = self.drain().await;
        self.stop();
        is_done
    }

    /// Kills the warm sandboxes, and what was created and has no owner.
    async fn clean_up(&self) -> bool {
        let mut all = self.shared.retired().clone();
        let generation = self.shared.generation.load_full();
        all.extend(generation.places().map(|place| Arc::clone(&place.keys)));
        let mut pools = JoinSet::new();
        for pool in all.iter().flat_map(|keys| keys.pools()) {
            pools.spawn(async move { pool.shut_down(CLEAN_UP).await });
        }
        pools.join_all().await;
        let mut is_clean = true;
        for (_, stack) in all.iter().flat_map(|keys| keys.all()) {
            let drained = stack.handles().tracker.drain_within(CLEAN_UP).await;
            if let Err(left) = drained {
                tracing::warn!(%left, "orphaned sandboxes were left at shutdown");
                is_clean = false;
            }
        }
        is_clean
    }
}

/// The settings of a listener and of tables that are there once.
fn needs_restart(before: &Config, now: &Config) -> Vec<&'static str> {
    let (old, new) = (&before.limits, &now.limits);
    let all = [
        ("listen", before.listen != now.listen),
        ("workers", before.worker_count() != now.worker_count()),
        ("journal", before.journal != now.journal),
        ("tls", before.tls.is_some() != now.tls.is_some()),
        ("keys.store", before.keys.store != now.keys.store),
        ("limits.connections", old.connections != new.connections),
        ("limits.sandboxes", old.sandboxes != new.sandboxes),
    ];
    let names = all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name);
    names.chain(before.admin.differences(&now.admin)).collect()
}
