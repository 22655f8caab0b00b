//! What tests need and the repository does not hold.
//!
//! One more is a function like `prepare` in `browser.rs` and an entry in `STEPS`, before the tests.

use std::ffi::OsString;

use crate::workspace::Workspace;

/// Makes one thing that tests need, or finds that it is there.
pub(crate) type Prepare = fn(&Workspace) -> Result<Ready, Obstacle>;

/// It is there.
#[derive(Debug)]
pub(crate) struct Ready {
    /// A word on what was done.
    pub(crate) note: String,
    /// How tests find it.
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

/// It is not there.
#[derive(Debug, PartialEq)]
pub(crate) enum Obstacle {
    /// The machine or the network lacks something: what needs it is left out.
    Machine(String),
    /// The repository is wrong.
    Repository(String),
}
