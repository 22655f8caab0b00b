use sandtower_core::{BoxError, RequestInfo, Verdict};

/// A failure that is about to be answered by an alternative.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Failed<'a, Res> {
    /// What was asked.
    pub info: &'a RequestInfo,
    /// What the failure means.
    pub verdict: Verdict,
    /// The failure itself.
    pub answer: Result<&'a Res, &'a BoxError>,
}

impl<'a, Res> Failed<'a, Res> {
    /// The failure of what `asked`.
    pub fn new(
        info: &'a RequestInfo,
        verdict: Verdict,
        answer: Result<&'a Res, &'a BoxError>,
    ) -> Self {
        Self { info, verdict, answer }
    }
}
