//! The generator: starts calls on schedule, and reports how they ended.

use std::future::Future;
use std::time::Duration;

use sandtower_core::Sleep;
use sandtower_core::{Rng, Tick};
use tokio::task::{JoinError, JoinSet};

use crate::load::{Arrivals, Load, Until};

/// A call that is about to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The user, from 1; in an open loop always 1.
    pub user: u32,
    /// The number among the user's calls, from 1.
    pub number: u64,
    /// When it was meant to start. In a closed loop that is when it starts.
    pub meant: Tick,
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub struct Ended<T> {
    /// The call.
    pub arrival: Arrival,
    /// When it really started.
    pub started: Tick,
    /// When it ended.
    pub ended: Tick,
    /// Its output.
    pub output: T,
}

impl<T> Ended<T> {
    /// Its duration since it was meant to start: what a caller experiences.
    pub fn took(&self) -> Duration {
        self.ended.since(self.arrival.meant)
    }

    /// Whether the generator was too busy to start it on time.
    pub fn is_late(&self) -> bool {
        self.started.since(self.arrival.meant) > LATE
    }
}

/// A tokio timer may fire up to a millisecond late; ten of them are too late.
const LATE: Duration = Duration::from_millis(10);

/// The result of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Driven {
    /// When it began.
    pub began: Tick,
    /// When its last call ended.
    pub ended: Tick,
    /// Calls that were started.
    pub started: u64,
    /// Arrivals that were dropped, because too many calls were in flight.
    pub dropped: u64,
    /// Calls that panicked: they have no output.
    pub panicked: u64,
}

/// Puts `load` on `call`, and passes each call that has ended to `over`, in the order of their ends.
///
/// Each call is a task. The calls in flight are kept here, which the load bounds; what `over` keeps is up
/// to it. Dropping the future aborts all calls.
///
/// ```
/// use std::time::Duration;
/// use sandtower_load::{Arrivals, Load, Until, drive};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), sandtower_load::InvalidLoad> {
/// let load = Load::new(Arrivals::even(10.0)?, Until::Time(Duration::from_secs(2)))?;
/// let mut longest = Duration::ZERO;
/// let sleep = |_| tokio::time::sleep(Duration::from_millis(300));
/// let driven = drive(&load, sleep, |ended| longest = longest.max(ended.took())).await;
/// assert_eq!(driven.started, 20);
/// assert!(longest >= Duration::from_millis(300));
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// Outside a tokio runtime with its timer enabled.
pub async fn drive<F, Fut, T>(load: &Load, call: F, mut over: impl FnMut(Ended<T>)) -> Driven
where
    F: FnMut(Arrival) -> Fut,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let mut generator = Generator::new(load, call);
    match load.arrivals {
        Arrivals::Closed { users } => {
            for user in 1..=users {
                generator.next_of(user, 1);
            }
            while let Some(ended) = generator.calls.join_next().await {
                if let Some(ended) = generator.finish(ended) {
                    let Arrival { user, number, .. } = ended.arrival;
                    over(ended);
                    generator.next_of(user, number + 1);
                }
            }
        }
        Arrivals::Even { every } => generator.open(|| every, &mut over).await,
        Arrivals::Poisson { every } => {
            let mut rng = Rng::with_seed(load.seed);
            // Calls arrive independently of each other.
            let gap = || every.mul_f64(-(1.0 - rng.f64()).ln());
            generator.open(gap, &mut over).await;
        }
    }
    Driven { ended: Tick::now(), ..generator.driven }
}

struct Generator<'a, F, T> {
    load: &'a Load,
    call: F,
    calls: JoinSet<Ended<T>>,
    driven: Driven,
}

impl<'a, F, Fut, T> Generator<'a, F, T>
where
    F: FnMut(Arrival) -> Fut,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    fn new(load: &'a Load, call: F) -> Self {
        let began = Tick::now();
        let driven = Driven { began, ended: began, started: 0, dropped: 0, panicked: 0 };
        Self { load, call, calls: JoinSet::new(), driven }
    }

    fn start(&mut self, arrival: Arrival) {
        if self.calls.len() >= self.load.max_in_flight {
            self.driven.dropped += 1;
            return;
        }
        self.driven.started += 1;
        let started = Tick::now();
        let output = (self.call)(arrival);
        self.calls.spawn(async move {
            let output = output.await;
            Ended { arrival, started, ended: Tick::now(), output }
        });
    }

    fn finish(&mut self, ended: Result<Ended<T>, JoinError>) -> Option<Ended<T>> {
        // No task aborts them while this runs, so one that did not end has panicked.
        self.driven.panicked += u64::from(ended.is_err());
        ended.ok()
    }

    /// A user's next call, if there is one.
    fn next_of(&mut self, user: u32, number: u64) {
        let meant = Tick::now();
        if !self.is_over(number, meant) {
            self.start(Arrival { user, number, meant });
        }
    }

    fn is_over(&self, number: u64, meant: Tick) -> bool {
        match self.load.until {
            Until::Calls(calls) => number > calls,
            Until::Time(time) => meant.since(self.driven.began) >= time,
        }
    }

    async fn open(&mut self, mut gap: impl FnMut() -> Duration, over: &mut impl FnMut(Ended<T>)) {
        let mut arrival = Arrival { user: 1, number: 1, meant: self.driven.began };
        while !self.is_over(arrival.number, arrival.meant) {
            tokio::select! {
                // Starts that are due come first: the load must not depend on the service.
                biased;
                () = Sleep::until(arrival.meant) => {
                    self.start(arrival);
                    arrival.number += 1;
                    arrival.meant += gap();
                }
                Some(ended) = self.calls.join_next() => {
                    self.finish(ended).into_iter().for_each(&mut *over);
                }
            }
        }
        while let Some(ended) = self.calls.join_next().await {
            self.finish(ended).into_iter().for_each(&mut *over);
        }
    }
}
