//! The listener for operators: its API, its pages, and who may use them.

mod api;
mod attacks;
mod cost;
mod fuzz;
mod injection;
mod live;
mod pool;
pub(crate) mod support;
mod walk;
