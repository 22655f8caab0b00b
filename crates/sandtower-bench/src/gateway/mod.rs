//! The gateway beside nginx as a plain reverse proxy, and beside a proxy of its own shape without layers.
//!
//! Generator, proxy and upstream share the machine, so a proxy that takes less time leaves more for the
//! others: requests a second say more than that of the proxy alone, and processor time says the rest.
//!
//! `cargo xtask bench-gateway` starts it, with the programs that it needs.

mod closed_loop;
mod connection;
mod memory;
mod open_loop;
mod plain;
mod program;
mod report;
mod run;
mod streams;
mod upstream;
mod workers;

pub use plain::serve_plain;
pub use run::{Options, run};
