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

/// To copy a request with a header field.
const REQUEST: u64 = 2;

/// To tell a request when its call arrived and has to end: two extensions, and where they are kept.
const TOLD: u64 = 4;

#[test]
fn ours_allocate_nothing_but_the_error_of_a_rejection_and_requests() {
    runtime::within(|| {
        for case in cases::all().iter().flat_map(|group| &group.cases) {
            if !case.name().starts_with("sandtower/") {
                continue;
            }
            let of_a_call = match case.name() {
                "sandtower/circuit-breaker-open" => 1,
                // The request, and a copy of it that can be sent again.
                "sandtower/e2b" | "sandtower/e2b-envd" => 2 * REQUEST + 2 * TOLD,
                _ => 0,
            };
            let mut runner = case.start();
            runner(10);
            assert_eq!(count(|| runner(100)), 100 * of_a_call, "{}", case.name());
        }
    });
}
