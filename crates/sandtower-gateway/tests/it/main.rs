//! The gateway over the simulator, on real sockets.

#![cfg(test)]

mod aborts;
mod admin;
mod attacks;
mod config;
mod crash;
mod creations;
mod domain;
mod fuzz;
mod keys;
mod shutdown;
mod support;
mod traffic;
