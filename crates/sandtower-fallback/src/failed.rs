use sandtower_core::{Asked, BoxError, Verdict};

/// A failure that is about to be answered by an alternative.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Failed<'a, Res> {
    /// What was asked.
    pub asked: &'a Asked,
    /// What the failure means.
    pub verdict: Verdict,
    /// The failure itself.
    pub answer: Result<&'a Res, &'a BoxError>,
}

impl<'a, Res> Failed<'a, Res> {
    /// The failure of what `asked`.
    pub fn new(asked: &'a Asked, verdict: Verdict, answer: Result<&'a Res, &'a BoxError>) -> Self {
        Self { asked, verdict, answer }
    }
}
