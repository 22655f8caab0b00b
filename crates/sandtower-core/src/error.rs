use std::error::Error;

use crate::{ExplainedError, Rejection, Verdict};

/// The error of every layer: whatever went wrong, with its sources. Use [`find`] to get a typed
/// error back out of it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The first `E` in the chain of sources of `error`, `error` itself included.
///
/// ```
/// use sandtower_core::{BoxError, Reason, Rejection, find};
///
/// let error: BoxError = Rejection::new("admission", "E2B", Reason::Draining).into();
/// assert!(find::<Rejection>(&*error).is_some());
/// ```
pub fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref::<E>())
}

/// Whether one of our own layers rejected the call: whether there is a [`Rejection`] in the chain of
/// `error`. The service was not called, or at least not another time.
///
/// ```
/// use sandtower_core::{BoxError, Reason, Rejection, is_rejected};
///
/// let error: BoxError = Rejection::new("admission", "E2B", Reason::Draining).into();
/// assert!(is_rejected(&*error));
/// ```
pub fn is_rejected(error: &(dyn Error + 'static)) -> bool {
    find::<Rejection>(error).is_some()
}

/// `error` and its sources, outermost first. An [`io::Error`](std::io::Error) made around another
/// error hides it, since its `source` is the one behind: here it is listed too. The chain ends at a
/// [`CallerError`]: whatever is behind it happened to the caller, not to this request.
pub fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if error.is::<CallerError>() {
        return None;
    }
    if let Some(classified) = error.downcast_ref::<ClassifiedError>() {
        return Some(&*classified.source);
    }
    if let Some(explained) = error.downcast_ref::<ExplainedError>() {
        return Some(&**explained.inner());
    }
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(hidden) => Some(hidden),
        None => error.source(),
    }
}

/// What the chain of `error` says by itself, whatever the user's classifier would think: a
/// [`Rejection`] is rejected, a [`ClassifiedError`] carries its verdict, a [`CallerError`] is a
/// cancelled call. Any other error says nothing.
pub fn verdict_of_error(error: &(dyn Error + 'static)) -> Option<Verdict> {
    chain(error).find_map(|error| {
        if let Some(classified) = error.downcast_ref::<ClassifiedError>() {
            Some(classified.verdict)
        } else if error.is::<CallerError>() {
            Some(Verdict::cancelled().about_caller())
        } else {
            error.is::<Rejection>().then(Verdict::rejected)
        }
    })
}

/// An error that carries its verdict: for layers that know what they saw, such as a timeout.
///
/// It reads like the error inside, which [`find`] gets back; its `source` is the source of that.
#[derive(Debug)]
pub struct ClassifiedError {
    verdict: Verdict,
    source: BoxError,
}

impl ClassifiedError {
    /// `source`, known to mean `verdict`.
    pub fn new(verdict: Verdict, source: impl Into<BoxError>) -> Self {
        Self { verdict, source: source.into() }
    }

    /// What the error says.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The error inside.
    pub fn into_inner(self) -> BoxError {
        self.source
    }
}

impl std::fmt::Display for ClassifiedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for ClassifiedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

/// Something that the caller gave for its request failed while the request was sent: a streaming
/// body, for instance. The call is [cancelled](Verdict::cancelled), and says nothing about the
/// service, whatever the error inside says.
#[derive(Debug)]
pub struct CallerError {
    source: BoxError,
}

impl CallerError {
    /// `source`, an error of the caller's own making.
    pub fn new(source: impl Into<BoxError>) -> Self {
        Self { source: source.into() }
    }
}

impl std::fmt::Display for CallerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the caller failed to provide the request")
    }
}

impl Error for CallerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Effect, Reason};

    fn wrap(error: impl Into<BoxError>) -> BoxError {
        ClassifiedError::new(Verdict::transient(Effect::None), error).into()
    }

    #[test]
    fn a_typed_error_is_found_however_deep_it_lies() {
        let deep = wrap(wrap(Rejection::new("admission", "E2B", Reason::Draining)));
        assert!(find::<Rejection>(&*deep).is_some());
        assert!(find::<std::io::Error>(&*deep).is_none());
    }

    #[test]
    fn an_error_inside_an_io_error_is_found() {
        let rejection = Rejection::new("admission", "E2B", Reason::Draining);
        let hidden = wrap(std::io::Error::other(rejection));
        assert!(find::<Rejection>(&*hidden).is_some());
    }

    #[test]
    fn the_outermost_word_on_the_verdict_counts() {
        let rejection: BoxError = Rejection::new("admission", "E2B", Reason::Draining).into();
        assert_eq!(verdict_of_error(&*rejection), Some(Verdict::rejected()));
        assert_eq!(verdict_of_error(&*wrap(rejection)), Some(Verdict::transient(Effect::None)));
        assert_eq!(verdict_of_error(&std::io::Error::other("x")), None);
    }

    #[test]
    fn what_happened_to_the_caller_is_not_looked_into() {
        let rejection = Rejection::new("admission", "E2B", Reason::Draining);
        for inner in [wrap("x"), rejection.into(), std::io::Error::other("x").into()] {
            let error = std::io::Error::other(CallerError::new(inner));
            assert_eq!(verdict_of_error(&error), Some(Verdict::cancelled().about_caller()));
            assert!(find::<Rejection>(&error).is_none());
            assert!(find::<ClassifiedError>(&error).is_none());
        }
    }

    #[test]
    fn a_classified_error_reads_like_the_error_inside_and_is_not_repeated() {
        let inner = std::io::Error::new(std::io::ErrorKind::TimedOut, CallerError::new("x"));
        let (text, error) = (inner.to_string(), wrap(inner));
        assert_eq!(error.to_string(), text);
        assert_ne!(error.source().map(ToString::to_string), Some(text));
        assert!(find::<std::io::Error>(&*error).is_some());
    }
}
