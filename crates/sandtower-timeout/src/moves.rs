use sandtower_core::{Operation, Tick};

/// Tracks whether requests make progress, so that a [`TimeoutLayer`](crate::TimeoutLayer) ends those that
/// stall and not those that are long: an upload may take minutes.
///
/// `()` tracks no request: the timeout of each attempt starts when it is sent.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot track the progress of a `{Req}`",
    label = "not a `Moves<{Req}>`",
    note = "`()` tracks no request"
)]
pub trait Moves<Req> {
    /// Knows when one request last made progress.
    type Watch: LastMoved;

    /// Tracks `request`; `None`: the timeout starts when it is sent. It may add to the request what the
    /// transport below needs to record progress.
    fn watch(&self, request: &mut Req, operation: Operation) -> Option<Self::Watch>;
}

/// Knows when a request last moved.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not know when a request last moved",
    label = "not a `LastMoved`"
)]
pub trait LastMoved {
    /// When it did; `None`: not since it was sent.
    fn last_moved(&self) -> Option<Tick>;
}

impl<Req> Moves<Req> for () {
    type Watch = ();

    #[inline]
    fn watch(&self, _request: &mut Req, _operation: Operation) -> Option<()> {
        None
    }
}

impl LastMoved for () {
    fn last_moved(&self) -> Option<Tick> {
        None
    }
}
