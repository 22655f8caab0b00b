//! The vocabulary of the layers, over a mock service and on a paused clock.

mod backoff;
mod gated;
mod guard;
mod time;
mod wrappers;
