//! The listener for operators: probes, metrics, a snapshot and reloads.

mod keys;
mod routes;
mod signals;

use std::net::SocketAddr;
use std::sync::Arc;

use sandtower::core::BoxError;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Gateway;
use crate::config::{self, Config, ConfigError};

pub use signals::Signals;

/// Reads the configuration again.
type Read = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// What the routes work on.
pub(crate) struct State {
    gateway: Arc<Gateway>,
    read: Read,
}

/// The listener for operators, until this is dropped.
pub struct Admin {
    state: Arc<State>,
    address: Option<SocketAddr>,
    serving: Option<JoinHandle<()>>,
}

/// Listens for operators of `gateway`, if `admin` says where. `read` reads the configuration at a reload.
///
/// # Errors
///
/// Nothing can listen there.
///
/// # Panics
///
/// Outside a tokio runtime.
pub async fn start(
    gateway: &Arc<Gateway>,
    admin: config::Admin,
    read: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
) -> Result<Admin, BoxError> {
    let state = Arc::new(State { gateway: Arc::clone(gateway), read: Box::new(read) });
    let Some(address) = admin.listen else {
        return Ok(Admin { state, address: None, serving: None });
    };
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address} (`admin.listen`): {error}"))?;
    let address = Some(listener.local_addr()?);
    let routes = routes::all(Arc::clone(&state));
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the listener for operators ended");
        }
    });
    Ok(Admin { state, address, serving: Some(serving) })
}

impl Admin {
    /// Where it listens, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Reads the configuration again and replaces the one that runs. What happened is logged.
    pub fn reload(&self) {
        drop(self.state.reload());
    }
}

impl State {
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

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("address", &self.address).finish_non_exhaustive()
    }
}
