//! Several places: creations fail over, all else goes where its sandbox is.

mod failover;
mod listing;
mod pinned;
mod world;
