use serde::Serialize;

use crate::Operation;

/// What telemetry reads of a layer: its snapshot. The handle of each layer implements it.
///
/// The layer knows no name of a metric: which field becomes which metric is said once, in the table of
/// `sandtower-telemetry`, by [`KIND`](Self::KIND) and the path of the field in the serialized snapshot.
/// A snapshot is read at each scrape, never on the path of a call.
///
/// ```
/// use sandtower_core::MetricSource;
///
/// #[derive(Clone)]
/// struct Ping;
///
/// impl MetricSource for Ping {
///     type Snapshot = (u64, bool);
///     const KIND: &'static str = "ping";
///
///     fn read(&self) -> (u64, bool) {
///         (3, true)
///     }
/// }
/// assert_eq!(Ping.read().0, 3);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no metrics to read",
    label = "not a `MetricSource`",
    note = "the handles of layers are sources of metrics: give the handle, not the layer"
)]
pub trait MetricSource: Send + Sync + 'static {
    /// All that is known at one moment.
    type Snapshot: Serialize;

    /// The kind of layer, in snake case.
    const KIND: &'static str;

    /// The snapshot of now.
    fn read(&self) -> Self::Snapshot;

    /// The operations that are known beforehand: their counters are exported as 0 before their first
    /// call, so that the first increase is seen.
    fn operations(&self) -> &'static [Operation] {
        &[]
    }
}
