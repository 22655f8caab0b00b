//! The gateway over the simulator, on real sockets.

#![cfg(test)]

mod aborts;
mod admin;
mod attacks;
mod certificate;
mod config;
mod crash;
mod creations;
mod deploy;
mod domain;
mod fuzz;
mod h2_attacks;
mod keys;
mod operators;
mod places;
mod process;
mod reload;
mod shutdown;
mod support;
mod traffic;
mod warm;
