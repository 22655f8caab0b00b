//! No lost answer leaves a sandbox behind, nor makes two.

mod stack;
mod storm;
