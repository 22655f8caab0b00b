use sandtower_core::{BoxError, RequestInfo, Verdict};

/// A failure for which an alternative is about to be used.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Failed<'a, Res> {
    /// The info of the request.
    pub info: &'a RequestInfo,
    /// What the failure means.
    pub verdict: Verdict,
    /// The failure itself.
    pub result: Result<&'a Res, &'a BoxError>,
}

impl<'a, Res> Failed<'a, Res> {
    /// The failure of the request with this `info`.
    pub fn new(
        info: &'a RequestInfo,
        verdict: Verdict,
        result: Result<&'a Res, &'a BoxError>,
    ) -> Self {
        Self { info, verdict, result }
    }
}
