//! Virtual keys: their limits, their sandboxes and their admin routes.

mod admin;
mod isolation;
mod limits;
mod restart;
mod warm;
mod world;

pub(crate) use world::{Folder, keyed, roomy};
