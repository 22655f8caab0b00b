//! The rate limit from outside: its engines against plain models, the gate, and the layer.
#![cfg(test)]

mod clients;
mod gate;
mod gcra;
mod layer;
mod paced;
mod shadow;
mod store;
mod window;

#[global_allocator]
static ALLOCATOR: sandtower_testkit::CountingAllocator =
    sandtower_testkit::CountingAllocator::system();
