//! One run: a policy under a load, before a simulator or another service that speaks as E2B does.

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
use super::outcome::{Answer, Outcome};
use super::policy::{
    Execute, Job, Look, Original, Policy, Protected, Transport, Unprotected, erased,
};
use super::scenario::Setup;
use super::status::{Status, Watch};
use super::wire::{Meter, Wire};

/// Who is to be tested, and before what.
#[derive(Clone, Debug)]
pub(crate) struct Test<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) policy: Policy,
    pub(crate) seed: u64,
    pub(crate) clock: &'static str,
    /// What the sandboxes are marked with, so that they can be found again.
    pub(crate) mark: Option<(&'a str, &'a str)>,
    /// What goes out is counted here, and bounded.
    pub(crate) meter: Arc<Meter>,
}

/// How often what is to be seen is written down.
const SAMPLE: Duration = Duration::from_millis(500);

/// Runs `test` over `transport`. What only a simulator knows is still to be filled in, by
/// [`tell_truth`].
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
        Policy::Original => measure(test, Original::new(wire, config, test.seed)?, watch).await,
        Policy::Sandtower => {
            measure(test, Protected::new(wire, config, plan, test.seed), watch).await
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
        seed: test.seed,
    });
    let call = |arrival| {
        let timeline = Timeline::default();
        let answer = timeline.of(Arc::clone(&app).answer(arrival));
        async move {
            let answered = answer.await;
            (answered, timeline.spent(Tick::now()))
        }
    };
    let began = Tick::now();
    let (mut answers, mut samples) = (Vec::new(), Vec::new());
    let ended = Cell::new(0_u64);
    let over = |call: Ended<_>| {
        ended.set(ended.get() + 1);
        answers.push(Answer::new(&call, began));
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
    answers.sort_by_key(|answer| (answer.user, answer.number));
    let outcome = Outcome {
        scenario: test.setup.name.clone(),
        policy: test.policy,
        clock: test.clock,
        seed: test.seed,
        answers,
        closed: matches!(load.shape, Shape::Users { .. }),
        samples,
        dropped: driven.dropped,
        retries: look.retries,
        requests: meter.requests(),
        info: books.info,
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

/// Takes from the simulator what only it knows.
pub(crate) fn tell_truth(outcome: &mut Outcome, handed_out: &[String], sim: &Sim) {
    let ledger = sim.ledger();
    outcome.left = ledger.active + ledger.paused + ledger.expired;
    let zombies: BTreeSet<_> =
        ledger.sandboxes.iter().filter(|sandbox| sandbox.zombie).map(|z| z.id.as_str()).collect();
    let got = handed_out.iter().filter(|id| zombies.contains(id.as_str())).count();
    outcome.zombies = got as u64;
}
