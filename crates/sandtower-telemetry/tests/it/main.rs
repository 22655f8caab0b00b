//! One binary for the tests of this crate.
#![cfg(test)]

mod assets;
mod bounds;
mod exposition;
mod promtool;
mod scenarios;
mod table;
mod watch;
mod webhook;
