//! A tokio runtime for each thread: some cases set timers, or have to wait when two threads meet.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};

/// A runtime that only its own thread drives.
///
/// # Panics
///
/// The system gives no timer.
#[expect(clippy::expect_used, reason = "without a runtime there is nothing to measure")]
pub fn new() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("the system gives a timer")
}

thread_local! {
    static RUNTIME: Runtime = new();
}

/// Does `work` where timers can be set.
pub fn within<T>(work: impl FnOnce() -> T) -> T {
    RUNTIME.with(|runtime| {
        let _entered = runtime.enter();
        work()
    })
}

/// Waits on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| runtime.block_on(future))
}
