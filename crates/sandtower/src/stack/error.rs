use crate::core::BoxError;

/// A stack that cannot be built, or an invalid configuration file: what is wrong, and what would be valid.
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

    /// The name of the [component](super::Component), or the full name of a setting, such as
    /// `retry.transient.first`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cause.
    pub fn why(&self) -> &BoxError {
        &self.why
    }
}
