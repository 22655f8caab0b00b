//! Fallback and failover, on a paused clock.
#![cfg(test)]

mod allocations;
mod failover;
mod fallback;
mod kinds;

#[global_allocator]
static ALLOCATOR: sandtower_testkit::CountingAllocator =
    sandtower_testkit::CountingAllocator::system();
