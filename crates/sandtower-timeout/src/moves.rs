use sandtower_core::{Operation, Tick};

/// Finds out whether requests still move, so that a [`TimeoutLayer`](crate::TimeoutLayer) ends those
/// that stand still and not those that are long: an upload may take minutes.
///
/// `()` watches no request: each attempt has its time from the moment it is sent.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot watch whether a `{Req}` moves",
    label = "not a `Moves<{Req}>`",
    note = "`()` watches no request"
)]
pub trait Moves<Req> {
    /// Knows when one request last moved.
    type Watch: LastMoved;

    /// Watches `request`; `None`: its attempt has its time from the moment it is sent. It may write
    /// on the request what the transport below tells its progress by.
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
