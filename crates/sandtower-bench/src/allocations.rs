//! Counting allocations.

use alloc_tracker::Session;

/// The global allocator of a binary that counts.
pub type Counting = alloc_tracker::Allocator<std::alloc::System>;

/// How many allocations `work` makes on this thread; making one larger counts as one more. 0 if the
/// binary has another global allocator than [`Counting`].
pub fn count(work: impl FnOnce()) -> u64 {
    let session = Session::new().no_stdout().no_file();
    let operation = session.operation("work");
    let span = operation.measure_thread().iterations(1);
    work();
    drop(span);
    let report = session.to_report();
    report.operations().map(|(_, work)| work.total_allocations_count()).sum()
}
