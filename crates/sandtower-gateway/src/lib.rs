//! A gateway to E2B: the official SDKs point at it by two environment variables, and every call passes
//! the recommended stack of sandtower.
//!
//! - Requests to the control plane pass a stack of their API key, since E2B's limits are per team;
//!   requests into sandboxes carry no key and pass one stack for all.
//! - A creation is tracked: a lost response leaves no sandbox behind, nor a second one, and a sandbox whose
//!   caller went away before it had the response is killed.
//! - Bodies stream both ways; what is safe to repeat and short is retried.
//!
//! `sandtower serve --demo` runs it over a simulated E2B. [`config::Config`] is how it is configured,
//! [`Gateway`] is one that runs.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod access_log;
mod addresses;
pub mod admin;
mod call_times;
pub mod cli;
pub mod config;
mod demo;
mod gateway;
mod generation;
mod journal;
mod keys;
mod paused;
mod place;
mod proxy;
mod recent;
mod recount;
mod sandboxes;
mod server;
mod stacks;
pub mod virtual_keys;

pub use gateway::{Gateway, Reloaded};
pub use proxy::{Route, route};
