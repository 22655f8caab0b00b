use crate::queue::Seat;

/// The permit of [admission control](crate::AdmissionControl) for one attempt: a slot, and the permits of
/// its gates.
#[derive(Debug)]
#[must_use = "recording the outcome of the attempt releases the slot"]
pub struct Slot<P> {
    /// `None` once the gates have recorded it, at the head of a stream.
    pub(crate) gates: Option<P>,
    pub(crate) place: SlotPlace,
}

/// Whether an attempt counts as in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotPlace {
    Taken(Taken, Seat),
    /// The head of the response has arrived. Only the gates wait for the end of the stream.
    Free,
}

/// How an attempt took its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The attempt is not timed.
    Untimed,
    Timed,
    /// A trial beyond the limit, to find out whether the service can take more. Timed too.
    Trial,
}
