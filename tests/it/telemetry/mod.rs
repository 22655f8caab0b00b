//! Telemetry over the stack: in a real Prometheus, and with many tenants.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

mod prometheus;
mod size;
