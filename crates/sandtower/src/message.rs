#[cfg(feature = "e2b")]
mod error;
mod rejection;
#[cfg(feature = "admission")]
mod standing;
mod words;

use std::time::Duration;

/// A message for users of an application: what is happening, and what to expect.
///
/// Created from a position in the queue ([`QueuePosition`](crate::admission::QueuePosition)), of a
/// [`Rejection`](crate::core::Rejection), or of an error of the typed client. It names no layer and does not
/// quote the service: that is for logs.
///
/// ```
/// use std::time::Duration;
/// use sandtower::Message;
/// use sandtower::core::{Reason, Rejection};
///
/// let rejection = Rejection::new("circuit breaker", "E2B", Reason::Open { failed: 7, of: 7 })
///     .come_back_in(Duration::from_secs(45));
/// let message = Message::from(&rejection);
/// assert_eq!(message.to_string(), "E2B is not responding. Next attempt in 45 s.");
/// assert_eq!(message.retry_after(), Some(Duration::from_secs(45)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    text: String,
    retry_after: Option<Duration>,
}

impl Message {
    fn new(text: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self { text: text.into(), retry_after }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How long to wait before trying or checking again; `None`: unknown.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
