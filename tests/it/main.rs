//! One binary for all tests that cross crates.

mod python_sdk;
mod stress;
mod structure;
