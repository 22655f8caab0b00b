//! One binary for all tests that cross crates.

mod museum;
mod python_sdk;
mod stress;
mod structure;
