//! The typed client, against the simulator: every call, in process and in virtual time.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

mod code;
mod commands;
mod events;
mod files;
mod life;
pub(crate) mod log;
mod probes;
mod secrets;
mod template;
mod wire;

use sandtower::core::Seed;
use sandtower::e2b::{Client, Config, NewSandbox, Sandbox};
use sandtower_sim::Sim;

const KEY: &str = "e2b_0000000000000000000000000000000000000000";

fn config() -> Config {
    Config::new(KEY).unwrap().seed(Seed::fixed(1))
}

/// A simulator without faults, a client of it, and a sandbox in it.
async fn sandbox() -> (Sim, Client<Sim>, Sandbox) {
    sandbox_of("base").await
}

async fn sandbox_of(template: &str) -> (Sim, Client<Sim>, Sandbox) {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let client = Client::new(sim.clone(), config());
    let sandbox = client.create(&NewSandbox::new(template)).await.unwrap();
    (sim, client, sandbox)
}
