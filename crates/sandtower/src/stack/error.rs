use super::Component;
use crate::core::BoxError;

/// A stack that cannot be built: which component is wrong, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{component}: {why}")]
pub struct BuildError {
    component: Component,
    why: BoxError,
}

impl BuildError {
    pub(super) fn of(component: Component, why: impl Into<BoxError>) -> Self {
        Self { component, why: why.into() }
    }

    /// The component that cannot be built.
    pub fn component(&self) -> Component {
        self.component
    }

    /// What is wrong with it: the error of its own crate.
    pub fn why(&self) -> &BoxError {
        &self.why
    }
}
