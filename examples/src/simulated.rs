//! A simulated E2B for the examples: the simulator behind a loopback socket.

use std::future::pending;
use std::io;

use sandtower::e2b::{Config, ConfigError};
use sandtower_sim::Sim;
use tokio::net::TcpListener;

/// Serves `sim` until the runtime ends: the URL of the control plane, and of all sandboxes.
///
/// # Errors
///
/// There is no free port.
pub async fn serve(sim: Sim) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(sandtower_sim::serve(listener, sim, pending()));
    Ok(url)
}

/// The configuration for the simulator at `url`. For E2B itself it is [`Config::from_env`].
///
/// # Errors
///
/// `url` is invalid.
pub fn config(url: &str) -> Result<Config, ConfigError> {
    Config::new("e2b_simulated")?.api_url(url)?.sandbox_url(url)
}
