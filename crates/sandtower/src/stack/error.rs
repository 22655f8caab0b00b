use super::Part;
use crate::core::BoxError;

/// A stack that cannot be built: which part is wrong, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{part}: {why}")]
pub struct BuildError {
    part: Part,
    why: BoxError,
}

impl BuildError {
    pub(super) fn of(part: Part, why: impl Into<BoxError>) -> Self {
        Self { part, why: why.into() }
    }

    /// The part that cannot be built.
    pub fn part(&self) -> Part {
        self.part
    }

    /// What is wrong with it: the error of its own crate.
    pub fn why(&self) -> &BoxError {
        &self.why
    }
}
