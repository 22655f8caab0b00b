//! Counting allocations, for tests that assert that there are none.

use std::{alloc::System, hint::black_box};

use alloc_tracker::Session;

/// The global allocator of a test binary that counts allocations with [`allocations`].
pub type CountingAllocator = alloc_tracker::Allocator<System>;

/// How many allocations `work` makes on this thread; a reallocation counts as one more.
///
/// Other threads are not counted, so tests may run in parallel. The result of `work` is dropped after the
/// count. The test binary has to declare the counting allocator, once:
///
/// ```
/// use std::hint::black_box;
/// use sandtower_testkit::{CountingAllocator, allocations};
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator::system();
///
/// assert_eq!(allocations(|| black_box(1 + 1)), 0);
/// assert_eq!(allocations(|| black_box(Box::new(1))), 1);
/// ```
///
/// A [`Mock`](crate::Mock) keeps a ledger and allocates: measure over a plain service.
///
/// # Panics
///
/// If the binary does not declare the allocator: nothing would be counted.
pub fn allocations<T>(work: impl FnOnce() -> T) -> u64 {
    assert!(
        measure(|| black_box(Box::new(0_u8))) > 0,
        "nothing counts allocations here: declare `#[global_allocator] static ALLOCATOR: \
         CountingAllocator = CountingAllocator::system();` in the test binary"
    );
    measure(work)
}

fn measure<T>(work: impl FnOnce() -> T) -> u64 {
    // Reports are for benchmarks: print nothing, write nothing.
    let session = Session::new().no_stdout().no_file();
    let operation = session.operation("work");
    let span = operation.measure_thread().iterations(1);
    let output = work();
    drop(span);
    drop(output);
    let report = session.to_report();
    report.operations().map(|(_, work)| work.total_allocations_count()).sum()
}
