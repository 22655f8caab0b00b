//! A simulated E2B, for a gateway that needs nothing else.

use std::net::SocketAddr;
use std::time::SystemTime;

use sandtower::core::BoxError;
use sandtower_sim::{Config, Plan, Server};

use crate::config;

/// Starts the simulator, and makes it the upstream of `config`. It runs until the server is dropped.
pub(crate) async fn start(config: &mut config::Config) -> Result<Server, BoxError> {
    let sim = Config::new().plan(Plan::Pro).epoch(today()).build()?;
    let server = sim.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    config.upstream.api_url = Some(server.url());
    config.upstream.sandbox_url = Some(server.url());
    config.upstream.proxy = Some(String::from("none"));
    if !config.stack.contains_key("plan") && !config.stack.contains_key("custom_plan") {
        config.stack.insert(String::from("plan"), toml::Value::String(String::from("pro")));
    }
    Ok(server)
}

#[expect(clippy::disallowed_methods, reason = "clients compare dates with their own calendar")]
fn today() -> SystemTime {
    SystemTime::now()
}
