//! One run: a policy under a load, against a simulator or another service with E2B's API.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sandtower::core::{BoxError, Tick};
use sandtower::e2b::Config;
use sandtower_load::{Ended, Sample, Timeline, drive};
use sandtower_sim::Sim;
use tokio::sync::Semaphore;

use super::app::App;
use super::load::Shape;
use super::outcome::{Outcome, QueryResult};
use super::policy::{
    Classic, Execute, Job, Look, Policy, Protected, Transport, Unprotected, erased,
};
use super::scenario::Setup;
use super::status::{Status, Watch};
use super::wire::{Meter, Wire};

/// What to test, and against what.
#[derive(Clone, Debug)]
pub(crate) struct Test<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) policy: Policy,
    pub(crate) seed: u64,
    pub(crate) clock: &'static str,
    /// The mark in the metadata of all sandboxes, to find them again.
    pub(crate) mark: Option<(&'a str, &'a str)>,
    /// Counts and bounds the outgoing requests.
    pub(crate) meter: Arc<Meter>,
}

/// The interval of samples.
const SAMPLE: Duration = Duration::from_millis(500);

/// Runs `test` over `transport`. Figures that only a simulator knows are filled in by [`tell_truth`].
pub(crate) async fn run(
    test: &Test<'_>,
    transport: impl Transport,
    config: Config,
    watch: &mut dyn Watch,
) -> Result<(Outcome, Vec<String>), BoxError> {
    let wire = erased(Wire::new(transport, Arc::clone(&test.meter)));
    let plan = test.setup.plan();
    match test.policy {
        Policy::Unprotected => measure(test, Unprotected::new(wire, config), watch).await,
        Policy::Classic => measure(test, Classic::new(wire, config, test.seed)?, watch).await,
        Policy::Sandtower => {
            let protected = Protected::new(wire, config, plan, test.seed);
            watch.stack(protected.handles());
            measure(test, protected, watch).await
        }
        Policy::SandtowerPool => {
            let new = Job::new(test.setup.load.computes, test.mark).new;
            let protected = Protected::pooled(wire, config, plan, test.seed, &new).await?;
            let handles = protected.handles().clone();
            watch.stack(&handles);
            let measured = measure(test, protected, watch).await;
            // What is warm at the end is killed, as at any shutdown.
            drop(handles.drain().await);
            measured
        }
    }
}

async fn measure<E: Execute>(
    test: &Test<'_>,
    execute: E,
    watch: &mut dyn Watch,
) -> Result<(Outcome, Vec<String>), BoxError> {
    let (load, meter) = (&test.setup.load, &*test.meter);
    let app = Arc::new(App {
        execute,
        job: Job::new(load.computes, test.mark),
        places: Semaphore::new(load.places()),
        agent: load.agent(),
        load: *load,
        seed: test.seed,
    });
    let call = |arrival| {
        let timeline = Timeline::default();
        let result = timeline.of(Arc::clone(&app).process(arrival));
        async move {
            let processed = result.await;
            (processed, timeline.spent(Tick::now()))
        }
    };
    let began = Tick::now();
    let (mut results, mut samples) = (Vec::new(), Vec::new());
    let ended = Cell::new(0_u64);
    let over = |call: Ended<_>| {
        ended.set(ended.get() + 1);
        results.push(QueryResult::new(&call, began, load.caller(test.seed, call.arrival.number)));
    };
    let generator = load.generator(test.seed)?;
    let driven = {
        let sampler = every(SAMPLE, || {
            let at = Tick::now().since(began);
            let look = app.execute.look();
            samples.push(sample(at, &look, meter));
            watch.look(&Status::new(test, at, ended.get(), &look, &app.job.books.look()));
        });
        tokio::select! {
            driven = drive(&generator, call, over) => driven,
            never = sampler => match never {},
        }
    };
    let (look, books) = (app.execute.look(), app.job.books.look());
    let at = Tick::now().since(began);
    samples.push(sample(at, &look, meter));
    watch.over(&Status::new(test, at, ended.get(), &look, &books));
    let offered = load.offered(test.seed, driven.started + driven.dropped);
    results.sort_by_key(|result| (result.user, result.number));
    let outcome = Outcome {
        scenario: test.setup.name.clone(),
        policy: test.policy,
        clock: test.clock,
        seed: test.seed,
        results,
        closed: matches!(load.shape, Shape::Users { .. }),
        samples,
        offered,
        dropped: driven.dropped,
        retries: look.retries,
        requests: meter.requests(),
        requested: books.requested,
        creates: meter.creations(),
        left: 0,
        zombies: 0,
        fault_ends: test.setup.fault_ends(),
    };
    Ok((outcome, app.job.books.handed_out()))
}

async fn every(time: Duration, mut tell: impl FnMut()) -> Infallible {
    loop {
        tell();
        tokio::time::sleep(time).await;
    }
}

fn sample(at: Duration, look: &Look, meter: &Meter) -> Sample {
    Sample {
        at,
        breaker: look.breaker.map(str::to_owned),
        limit: look.limit,
        in_flight: meter.in_flight(),
        waiting: look.waiting,
    }
}

/// Adds the figures that only the simulator knows.
pub(crate) fn tell_truth(outcome: &mut Outcome, handed_out: &[String], sim: &Sim) {
    let ledger = sim.ledger();
    outcome.left = ledger.active + ledger.paused + ledger.expired;
    let zombies: BTreeSet<_> =
        ledger.sandboxes.iter().filter(|sandbox| sandbox.zombie).map(|z| z.id.as_str()).collect();
    let got = handed_out.iter().filter(|id| zombies.contains(id.as_str())).count();
    outcome.zombies = got as u64;
}
