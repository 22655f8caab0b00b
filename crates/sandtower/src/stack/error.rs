use crate::core::BoxError;

/// A stack that cannot be built, or a file of settings that is invalid: what is wrong, and what would
/// be right.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {why}")]
pub struct BuildError {
    name: String,
    why: BoxError,
}

impl BuildError {
    pub(super) fn of(name: impl std::fmt::Display, why: impl Into<BoxError>) -> Self {
        Self { name: name.to_string(), why: why.into() }
    }

    /// The name of the [component](super::Component) that cannot be built, or the whole name of a
    /// setting, such as `retry.transient.first`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is wrong with it.
    pub fn why(&self) -> &BoxError {
        &self.why
    }
}
