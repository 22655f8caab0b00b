//! The health check over a service that creates sandboxes, some of them dead.
#![cfg(test)]

mod checks;
mod contract;
mod discards;
mod events;
mod kinds;
mod monitor;
mod world;

#[global_allocator]
static ALLOCATOR: sandtower_testkit::CountingAllocator =
    sandtower_testkit::CountingAllocator::system();
