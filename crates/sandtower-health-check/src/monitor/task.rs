use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sandtower_core::{Outcome, Rng, Sleep, Tick, Verdict};
use tokio::task::JoinHandle;

use super::Probing;
use crate::Finding;

/// Probes until it is aborted.
pub(super) async fn run<P, F>(probing: Probing, mut probe: P)
where
    P: FnMut() -> F + Send + 'static,
    F: Future<Output = Verdict> + Send + 'static,
{
    let Probing { state, number } = &probing;
    let mut rng = state.config.seed.rng();
    loop {
        let found = once(&mut probe, state.config.within).await;
        let now = Tick::now();
        let next = now + pause(state.config.every, state.config.jitter, &mut rng);
        state.probed(*number, found, now, next);
        Sleep::until(next).await;
    }
}

/// Runs a probe as its own task: a panic in it is a failed probe, and ends nothing here.
async fn once<F>(probe: &mut impl FnMut() -> F, within: Duration) -> Result<(), Finding>
where
    F: Future<Output = Verdict> + Send + 'static,
{
    // A probe that panics while it is created is responsible for its own state.
    let future = catch_unwind(AssertUnwindSafe(probe)).map_err(|_| Finding::Panicked)?;
    let mut task = Stopped(tokio::spawn(future));
    match tokio::time::timeout(within, &mut task.0).await {
        Err(_) => Err(Finding::TimedOut),
        Ok(Err(_)) => Err(Finding::Panicked),
        Ok(Ok(Verdict { outcome: Outcome::Success, .. })) => Ok(()),
        Ok(Ok(Verdict { outcome, .. })) => Err(Finding::Failed(outcome)),
    }
}

/// Aborts its task on drop: one that timed out, or is no longer needed.
struct Stopped(JoinHandle<Verdict>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn pause(every: Duration, jitter: u8, rng: &mut Rng) -> Duration {
    let part = f64::from(jitter) / 100.0 * (rng.f64() * 2.0 - 1.0);
    let pause = every.as_secs_f64() * (1.0 + part);
    // A jitter of 100 % must not make the pause zero.
    Duration::try_from_secs_f64(pause)
        .unwrap_or(every)
        .max(every / 10)
        .max(Duration::from_millis(1))
}
