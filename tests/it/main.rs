//! One binary for all tests that cross crates.

mod js_sdk;
mod metastability;
mod museum;
mod python_sdk;
mod quota;
mod stress;
mod structure;
