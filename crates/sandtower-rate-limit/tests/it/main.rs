//! The rate limit from outside: its engines against plain models, the gate, and the layer.
#![cfg(test)]

mod gate;
mod gcra;
mod layer;
mod window;

#[global_allocator]
static ALLOCATOR: sandtower_testkit::CountingAllocator =
    sandtower_testkit::CountingAllocator::system();
