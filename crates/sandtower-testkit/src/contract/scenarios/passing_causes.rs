//! `poll_ready` does not fail because calls fail, hang or are cancelled.

use std::{fmt, time::Duration};

use tower_service::Service;

use super::super::{
    course::Course,
    probe::{Fault, Probe, World, spins},
};
use crate::{
    BoxError, Rule, Violation,
    drive::{Drive, Driven, Until},
};

const FAILURES: u64 = 50;
const HANGS: u64 = 20;

/// How long a caller waits for a call that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(in super::super) async fn passing_causes<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    let world = probe.world(Course::FAILING);
    fail(probe, &world).await?;
    recover(probe, &world, &format!("after {FAILURES} failed calls")).await?;

    let world = probe.world(Course::HANGING);
    hang(probe, &world).await?;
    recover(probe, &world, &format!("after {HANGS} calls that hung and were cancelled")).await
}

async fn fail<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
    world: &World<Req, Res, S>,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    for call in 0..FAILURES {
        let after = format!("after {call} failed calls");
        let mut driven = Driven::new(probe.call(world.caller()));
        let result = probe.finish(world, &mut driven, Rule::CallsFinish, &after).await?;
        check(result.err(), &after)?;
    }
    Ok(())
}

async fn hang<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
    world: &World<Req, Res, S>,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    for call in 0..HANGS {
        let after = format!("after {call} calls that hung and were cancelled");
        let mut driven = Driven::new(probe.call(world.caller()));
        match driven.run(Until::Finished, PATIENCE).await {
            Drive::Finished(result) => check(result.err(), &after)?,
            Drive::Spinning => return Err(spins(&driven, &after)),
            Drive::Silent | Drive::Cut | Drive::CutWhenWoken => {}
        }
    }
    Ok(())
}

async fn recover<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
    world: &World<Req, Res, S>,
    after: &dyn fmt::Display,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    probe.set_replies(world, Course::SMOOTH);
    probe.recovers(world, Rule::CancelledCallsDoNotWedge, after).await
}

fn check(fault: Option<Fault>, after: &dyn fmt::Display) -> Result<(), Violation> {
    let Some(Fault::Readiness(error)) = fault else { return Ok(()) };
    let seen = format!(
        "{after}, `poll_ready` failed, though the inner service was ready all the time: {error}"
    );
    Err(Violation::new(Rule::ReadinessNeverErrsForAPassingCause, seen))
}
