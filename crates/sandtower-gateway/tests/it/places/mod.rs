//! Several places: creations fail over, all else goes where its sandbox is.

mod domain;
mod failover;
mod keys;
mod listing;
mod operators;
mod pinned;
mod reload;
mod warm;
mod world;
