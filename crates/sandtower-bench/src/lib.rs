//! What a call through each of our layers costs: time, allocations, instructions, and what a second
//! thread does to it. Beside what others have for the same purpose, in the same run.
//!
//! ```sh
//! cargo run --release -p sandtower-bench --bin overhead -- --json target/bench/overhead.json
//! cargo run --release -p sandtower-bench --bin instructions
//! ```
//!
//! And what the gateway costs, beside nginx: `cargo xtask bench-gateway`.

pub mod allocations;
pub mod arguments;
pub mod bare;
pub mod case;
pub mod cases;
mod crew;
pub mod gateway;
pub mod goals;
pub mod measure;
pub mod profile;
pub mod report;
pub mod runtime;
pub mod statistics;
