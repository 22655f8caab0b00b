use crate::queue::Seat;

/// What [admission control](crate::AdmissionControl) gives for one attempt: a slot among those in
/// flight, and the permits of its gates.
#[derive(Debug)]
#[must_use = "a slot is given back by recording what became of the attempt"]
pub struct Slot<P> {
    /// `None` once the gates have recorded it, at the head of a stream.
    pub(crate) gates: Option<P>,
    pub(crate) place: SlotPlace,
}

/// Whether an attempt counts among those in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotPlace {
    Taken(Taken, Seat),
    /// The head of its response has come; only the gates wait for the end of the stream.
    Free,
}

/// How the place of an attempt was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// How long the attempt takes is of no interest.
    Untimed,
    Timed,
    /// Beyond the limit, to find out whether the service bears more. Timed, too.
    Trial,
}
