//! One binary for all tests that span crates.

mod browser;
mod client;
mod documents;
mod endings;
mod explain;
mod facts;
mod fairness;
mod gateway;
mod js_sdk;
mod load_report;
mod load_test;
mod metastability;
mod museum;
mod operators;
mod packages;
mod pool;
mod progress;
mod promises;
mod python_sdk;
mod quota;
mod safe_creation;
mod stress;
mod structure;
mod telemetry;
mod words;
