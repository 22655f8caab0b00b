//! Several places: creations fail over, all else goes where its sandbox is.

mod failover;
mod pinned;
mod world;
