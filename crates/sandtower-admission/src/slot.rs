/// What a [`AdmissionControl`](crate::AdmissionControl) gives for one attempt: a place among those in flight, and what its
/// gates gave.
#[derive(Debug)]
#[must_use = "a slot has to be given back or settled"]
pub struct Slot<T> {
    /// `None` once the gates have settled it without the time.
    pub(crate) gates: Option<T>,
    /// Whether the lane wants to know how long the attempt takes.
    pub(crate) timed: bool,
    /// Whether the place is free already, for the head of the answer has come.
    pub(crate) freed: bool,
    /// Whether it is beyond the limit, to find out whether more may be in flight.
    pub(crate) trial: bool,
}

impl<T> Slot<T> {
    pub(crate) fn new(gates: T, timed: bool, trial: bool) -> Self {
        Self { gates: Some(gates), timed, freed: false, trial }
    }
}
