//! Allocations are counted, on this thread only.

use std::{hint::black_box, thread};

use sandtower_testkit::{CountingAllocator, allocations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

#[test]
fn code_that_does_not_allocate_counts_nothing() {
    assert_eq!(allocations(|| black_box([0_u8; 64])), 0);
}

#[test]
fn each_allocation_counts() {
    assert_eq!(allocations(|| black_box((Box::new(1), vec![0_u8; 10]))), 2);
}

#[test]
fn a_growing_vector_counts_each_growth() {
    let grow = || {
        let mut bytes = black_box(Vec::<u8>::with_capacity(1));
        bytes.extend([1; 100]);
        bytes
    };
    assert_eq!(allocations(grow), 2);
}

#[test]
fn other_threads_do_not_count() {
    thread::scope(|scope| {
        let noise = scope.spawn(|| (0..10_000).for_each(|n| drop(black_box(Box::new(n)))));
        assert_eq!(allocations(|| while !noise.is_finished() {}), 0);
    });
}

#[test]
fn measurements_nest() {
    let mut within = 0;
    let outside = allocations(|| within = allocations(|| black_box(Box::new(1))));
    assert_eq!(within, 1);
    assert!(outside >= within);
}
