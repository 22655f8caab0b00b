use std::error::Error;

use crate::{BoxError, ClassifiedError, ExplainedError, Rejection, find};

/// The error of a call as a type: one of our layers rejected it, or the service below failed with an
/// `E`.
///
/// Layers fail with a [`BoxError`], so that they stack in any order. Where a type is wanted, convert it
/// once, outermost: with tower's `map_err` or its `MapErrLayer`.
///
/// ```
/// use std::io;
/// use sandtower_core::{BoxError, CallError, Reason, Rejection};
///
/// fn status(error: BoxError) -> u16 {
///     match CallError::<io::Error>::from(error) {
///         CallError::Rejected(rejection) if rejection.retry_after().is_some() => 503,
///         CallError::Rejected(_) => 429,
///         CallError::Inner(error) if error.kind() == io::ErrorKind::TimedOut => 504,
///         _ => 502,
///     }
/// }
///
/// assert_eq!(status(Rejection::new("admission", "E2B", Reason::Draining).into()), 429);
/// assert_eq!(status(io::Error::from(io::ErrorKind::TimedOut).into()), 504);
/// assert_eq!(status("anything else".into()), 502);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError<E> {
    /// A layer rejected the call.
    Rejected(Rejection),
    /// The error of the service below.
    Inner(E),
    /// An error of neither kind, such as a timeout.
    Other(BoxError),
}

impl<E> CallError<E> {
    /// The rejection, if it is one.
    pub fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
            Self::Inner(_) | Self::Other(_) => None,
        }
    }

    /// Whether a layer rejected the call.
    pub fn is_rejected(&self) -> bool {
        self.rejection().is_some()
    }
}

/// A [`Rejection`] anywhere in the chain counts, such as one that ended a call between two attempts.
impl<E: Error + Send + Sync + 'static> From<BoxError> for CallError<E> {
    fn from(error: BoxError) -> Self {
        if let Some(rejection) = find::<Rejection>(&*error) {
            return Self::Rejected(rejection.clone());
        }
        let error = match error.downcast::<E>() {
            Ok(inner) => return Self::Inner(*inner),
            Err(error) => error,
        };
        let error = match error.downcast::<ExplainedError>() {
            Ok(explained) => return Self::from(explained.into_inner()),
            Err(error) => error,
        };
        match error.downcast::<ClassifiedError>() {
            Ok(classified) => Self::from(classified.into_inner()),
            Err(other) => Self::Other(other),
        }
    }
}

impl<E: std::fmt::Display> std::fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Inner(error) => error.fmt(f),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for CallError<E> {
    /// The error inside, which [`find`] thus finds.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
            Self::Inner(error) => Some(error),
            Self::Other(error) => Some(&**error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{Effect, Reason, Verdict};

    type Typed = CallError<io::Error>;

    #[test]
    fn the_error_of_the_service_comes_back_with_its_type_also_if_it_was_classified() {
        let error = || io::Error::from(io::ErrorKind::ConnectionReset);
        let classified = ClassifiedError::new(Verdict::transient(Effect::None), error());
        for error in [BoxError::from(error()), classified.into()] {
            let typed = Typed::from(error);
            assert!(
                matches!(&typed, CallError::Inner(error) if error.kind() == io::ErrorKind::ConnectionReset)
            );
            assert!(!typed.is_rejected() && find::<io::Error>(&typed).is_some());
        }
    }

    #[test]
    fn a_rejection_is_one_wherever_in_the_chain_it_is() {
        let rejection = Rejection::new("admission", "E2B", Reason::Draining);
        let deep = io::Error::other(rejection.clone());
        let typed = Typed::from(BoxError::from(deep));
        assert!(typed.is_rejected() && typed.rejection() == Some(&rejection));
        assert_eq!(typed.to_string(), rejection.to_string());
    }

    #[test]
    fn any_other_error_keeps_its_text() {
        let typed = Typed::from(BoxError::from("neither"));
        assert!(matches!(typed, CallError::Other(_)));
        assert_eq!(typed.to_string(), "neither");
    }
}
