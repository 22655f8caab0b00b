//! The listener for operators: pages, the API behind them, probes and metrics.

mod access;
mod api;
mod audit;
mod board;
mod guard;
mod keys;
mod listen;
mod live;
mod login;
mod pages;
mod routes;
mod signals;

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;

use sandtower::core::BoxError;
use sandtower::e2b::Secret;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::access::Access;
use self::audit::Audit;
use self::board::Board;
use self::live::Live;
use crate::Gateway;
use crate::config::{self, Config, ConfigError};

pub use signals::Signals;

/// Reads the configuration again.
type Read = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// What the routes work on.
pub(crate) struct State {
    gateway: Arc<Gateway>,
    reloading: Arc<Reloading>,
    access: Access,
    audit: Audit,
    board: Arc<Board>,
    live: Arc<Live>,
    /// Whether an operator has asked the gateway to end.
    ending: watch::Sender<bool>,
}

struct Reloading {
    gateway: Arc<Gateway>,
    read: Read,
}

/// The listener for operators, until this is dropped.
pub struct Admin {
    reloading: Arc<Reloading>,
    listening: Option<Listening>,
}

struct Listening {
    address: SocketAddr,
    state: Arc<State>,
    tasks: [JoinHandle<()>; 3],
}

/// Listens for operators of `gateway`, if `admin` says where. `read` reads the configuration at a reload.
///
/// # Errors
///
/// Nothing can listen there; it is not on loopback and there is no token; the audit log cannot be written.
///
/// # Panics
///
/// Outside a tokio runtime.
pub async fn start(
    gateway: &Arc<Gateway>,
    admin: config::Admin,
    read: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
) -> Result<Admin, BoxError> {
    let reloading = Arc::new(Reloading { gateway: Arc::clone(gateway), read: Box::new(read) });
    let Some(address) = admin.listen else { return Ok(Admin { reloading, listening: None }) };
    admin.check()?;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address} (`admin.listen`): {error}"))?;
    let address = listener.local_addr()?;
    let board = Arc::new(Board::new(Arc::clone(gateway)));
    let live = Arc::new(Live::new());
    let state = Arc::new(State {
        gateway: Arc::clone(gateway),
        reloading: Arc::clone(&reloading),
        access: Access::new(&admin, address.port())?,
        audit: Audit::new(admin.audit_log.as_deref())?,
        board: Arc::clone(&board),
        live: Arc::clone(&live),
        ending: watch::Sender::new(false),
    });
    let routes = routes::all(Arc::clone(&state));
    let ticking = Arc::clone(&state);
    let tasks = [
        tokio::spawn(listen::serve(listener, routes)),
        tokio::spawn(async move { board.run().await }),
        tokio::spawn(async move { live::run(&ticking).await }),
    ];
    Ok(Admin { reloading, listening: Some(Listening { address, state, tasks }) })
}

impl Admin {
    /// Where it listens, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listening.as_ref().map(|listening| listening.address)
    }

    /// The token for changes that was made at the start, since none is configured.
    pub fn made_token(&self) -> Option<&Secret> {
        self.listening.as_ref().and_then(|listening| listening.state.access.made())
    }

    /// Reads the configuration again and replaces the one that runs. What happened is logged.
    pub fn reload(&self) {
        drop(self.reloading.reload());
    }

    /// Waits until an operator asks the gateway to end. Cancel safe.
    pub async fn drain_requested(&self) {
        let Some(listening) = &self.listening else { return pending().await };
        let mut ending = listening.state.ending.subscribe();
        // The sender is in the state that this holds.
        drop(ending.wait_for(|ends| *ends).await);
    }
}

impl Reloading {
    fn reload(&self) -> Result<crate::Reloaded, BoxError> {
        let result = (self.read)().map_err(Into::into).and_then(|new| self.gateway.reload(new));
        match &result {
            Ok(reloaded) => {
                let needs_restart = reloaded.needs_restart.join(", ");
                tracing::info!(needs_restart, "configuration reloaded");
            }
            Err(error) => tracing::error!(%error, "configuration not reloaded"),
        }
        result
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("address", &self.address()).finish_non_exhaustive()
    }
}
