//! The rate limit from outside: its engines against plain models, the gate, the layer, the server
//! limits that it obeys, and the store.
#![cfg(test)]

mod clients;
mod gate;
mod gcra;
mod layer;
mod server;
mod shadow;
mod store;
mod support;
mod tenants;
mod told;
mod window;

#[global_allocator]
static ALLOCATOR: sandtower_testkit::CountingAllocator =
    sandtower_testkit::CountingAllocator::system();
