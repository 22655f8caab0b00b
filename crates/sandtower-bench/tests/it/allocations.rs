//! What allocates, and that the counting sees it.

use std::hint::black_box;

use sandtower_bench::allocations::{Counting, count};
use sandtower_bench::{cases, runtime};

#[global_allocator]
static ALLOCATOR: Counting = Counting::system();

#[test]
fn a_box_is_counted() {
    assert_eq!(count(|| drop(black_box(Box::new(1)))), 1);
    assert_eq!(count(|| assert!(black_box(true))), 0);
}

/// What a whole E2B call may allocate, request and response included.
const WHOLE_CALL: u64 = 13;
/// What its explanation adds: the recording, its stages, and the extensions of a response that had none.
const EXPLANATION: u64 = 3;

#[test]
fn ours_allocate_nothing_but_the_error_of_a_rejection_and_requests() {
    runtime::within(|| {
        for case in cases::all().iter().flat_map(|group| &group.cases) {
            if !case.name().starts_with("sandtower/") {
                continue;
            }
            let bound = match case.name() {
                "sandtower/circuit-breaker-open" => 1,
                "sandtower/e2b-explained" => WHOLE_CALL + EXPLANATION,
                name if name.starts_with("sandtower/e2b") => WHOLE_CALL,
                _ => 0,
            };
            let mut runner = case.start();
            runner(10);
            let allocated = count(|| runner(100));
            assert!(allocated <= 100 * bound, "{}: {allocated} in 100 calls", case.name());
        }
    });
}
