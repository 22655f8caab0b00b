//! No lost response leaves a sandbox behind, or creates two.

mod stack;
mod storm;
