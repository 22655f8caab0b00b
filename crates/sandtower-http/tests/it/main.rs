//! HTTP semantics, over scripted bodies and over real sockets.
#![cfg(test)]

mod allocations;
#[cfg(feature = "retry")]
mod discard;
mod fuzz;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "retry")]
mod idempotency;
mod idle;
mod interpreter;
mod rejections;
mod replay;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "retry")]
mod retried;

#[global_allocator]
static ALLOCATOR: sandtower_testkit::CountingAllocator =
    sandtower_testkit::CountingAllocator::system();
