use std::error::Error;

use crate::{Rejection, Verdict};

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

/// `error` and its sources, outermost first. An [`io::Error`](std::io::Error) made around another
/// error hides it, since its `source` is the one behind: here it is told too.
pub fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(hidden) => Some(hidden),
        None => error.source(),
    }
}

/// What the chain of `error` says by itself, whatever the user's classifier would think: a
/// [`Rejection`] is rejected, a [`ClassifiedError`] error carries its verdict, any other says nothing.
pub fn verdict_of_error(error: &(dyn Error + 'static)) -> Option<Verdict> {
    chain(error).find_map(|error| match error.downcast_ref::<ClassifiedError>() {
        Some(judged) => Some(judged.verdict),
        None => error.is::<Rejection>().then(Verdict::rejected),
    })
}

/// An error that carries its verdict: for layers that know what they saw, such as a time-out.
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
}

impl std::fmt::Display for ClassifiedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the attempt failed ({})", self.verdict.outcome)
    }
}

impl Error for ClassifiedError {
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
}
