//! Virtual keys: their limits, their sandboxes and their admin routes.

mod admin;
mod isolation;
mod limits;
mod restart;
mod world;
