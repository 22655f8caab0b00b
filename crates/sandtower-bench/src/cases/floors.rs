//! The parts that layers are made of: what no layer that needs them can be faster than.

use sandtower_core::Tick;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::case::{Case, repeat};

pub(super) fn all() -> Vec<Case> {
    vec![clock(), mutex(), arc(), add(), allocation()]
}

fn clock() -> Case {
    Case::work("floor/clock", || repeat(Tick::now))
}

fn mutex() -> Case {
    let shared = Arc::new(Mutex::new(0_u64));
    Case::shared_work("floor/mutex", move || {
        let shared = Arc::clone(&shared);
        repeat(move || *shared.lock().unwrap_or_else(PoisonError::into_inner) += 1)
    })
}

fn arc() -> Case {
    let shared = Arc::new(0_u64);
    Case::shared_work("floor/arc-clone", move || {
        let shared = Arc::clone(&shared);
        repeat(move || Arc::clone(&shared))
    })
}

fn add() -> Case {
    let shared = Arc::new(AtomicU64::new(0));
    Case::shared_work("floor/fetch-add", move || {
        let shared = Arc::clone(&shared);
        repeat(move || shared.fetch_add(1, Ordering::Relaxed))
    })
}

fn allocation() -> Case {
    Case::work("floor/allocation", || repeat(|| Box::new([0_u64; 8])))
}
