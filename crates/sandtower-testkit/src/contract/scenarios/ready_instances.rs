//! Only the instance that was polled ready is called.
//!
//! The mock itself checks that; here it is called in every way that tempts a layer to call another instance.
//! Whether a call succeeds does not matter.

use std::rc::Rc;

use tower_service::Service;

use super::super::{
    course::Course,
    probe::{Probe, World},
};
use crate::{BoxError, Rule, Violation, drive::Driven};

const COURSES: [Course; 6] = [
    Course::SMOOTH,
    Course::SLOWLY_READY,
    Course::SLOW_CLONES,
    Course::SLOW_ANSWERS,
    Course::SLOW,
    Course::FLAKY,
];

pub(in super::super) async fn ready_instances<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    for course in COURSES {
        one_after_another(probe, &probe.world(course), course).await?;
        if probe.clones() {
            through_clones_of_clones(probe, &probe.world(course), course).await?;
            cloned_while_ready(probe, &probe.world(course), course).await?;
            all_at_once(probe, &probe.world(course), course).await?;
        }
    }
    Ok(())
}

async fn one_after_another<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
    world: &World<Req, Res, S>,
    course: Course,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    for call in 0..4 {
        let what = format!("call {call} of calls one after another, {course}");
        let mut driven = Driven::new(probe.call(Rc::clone(&world.service)));
        // Any response, good or bad, will do.
        let _ = probe.finish(world, &mut driven, Rule::CallsFinish, &what).await?;
    }
    Ok(())
}

async fn through_clones_of_clones<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
    world: &World<Req, Res, S>,
    course: Course,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    let mut caller = world.caller();
    for generation in 0..4 {
        let what = format!("a call through a clone of generation {generation}, {course}");
        let mut driven = Driven::new(probe.call(Rc::clone(&caller)));
        let _ = probe.finish(world, &mut driven, Rule::CallsFinish, &what).await?;
        caller = world.copy_of(&caller);
    }
    Ok(())
}

/// A clone is not ready because the instance that it was cloned from is.
async fn cloned_while_ready<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
    world: &World<Req, Res, S>,
    course: Course,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    let what = format!("making a service ready, {course}");
    let first = world.caller();
    for _twice_is_allowed in 0..2 {
        let mut ready = Driven::new(probe.ready(Rc::clone(&first)));
        let _ = probe.finish(world, &mut ready, Rule::CallsFinish, &what).await?;
    }
    let second = world.copy_of(&first);
    for caller in [first, second] {
        let what = format!("a call through a service cloned while ready, {course}");
        let mut driven = Driven::new(probe.call(caller));
        let _ = probe.finish(world, &mut driven, Rule::CallsFinish, &what).await?;
    }
    Ok(())
}

async fn all_at_once<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
    world: &World<Req, Res, S>,
    course: Course,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    let what = format!("a call among calls at once, {course}");
    let mut calls: Vec<_> = (0..4).map(|_| Driven::new(probe.call(world.caller()))).collect();
    let outputs = probe.finish_all(world, &mut calls, Rule::CallsFinish, &what).await;
    outputs.map(|_results| ())
}
