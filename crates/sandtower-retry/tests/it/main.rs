//! The retry layer, on a paused clock.
#![cfg(test)]

mod budget;
mod door;
mod hooks;
mod kinds;
mod retry;

#[global_allocator]
static ALLOCATOR: sandtower_testkit::CountingAllocator =
    sandtower_testkit::CountingAllocator::system();
