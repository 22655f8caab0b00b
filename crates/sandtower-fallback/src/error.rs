use std::sync::Arc;

use sandtower_core::{BoxError, Outcome};

/// The alternative failed as well. Its error is the [`source`](std::error::Error::source), so that
/// [`find`](sandtower_core::find) finds it; the failure before it is available too.
#[derive(Debug, thiserror::Error)]
#[error("the alternative `{name}` failed too: {source}; before it: {}", first.describe())]
pub struct AlternativeFailed {
    name: Arc<str>,
    first: First,
    source: BoxError,
}

/// The outcome of the attempt before the alternative.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) outcome: Outcome,
    pub(crate) error: Option<BoxError>,
}

impl First {
    fn describe(&self) -> String {
        match &self.error {
            Some(error) => error.to_string(),
            None => format!("a response that was {}", self.outcome),
        }
    }
}

impl AlternativeFailed {
    pub(crate) fn new(name: Arc<str>, first: First, source: BoxError) -> Self {
        Self { name, first, source }
    }

    /// The alternative.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The outcome of the attempt before it.
    pub fn first(&self) -> Outcome {
        self.first.outcome
    }

    /// The error of the attempt before it; `None` if it got a response, which was discarded.
    pub fn first_error(&self) -> Option<&BoxError> {
        self.first.error.as_ref()
    }
}
