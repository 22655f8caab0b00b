//! A call is cancelled at every poll.

use std::fmt;

use tower_service::Service;

use super::super::{
    course::Course,
    probe::{Probe, World, still_held},
};
use crate::{
    BoxError, Rule, Violation,
    cancel::{Stop, cancel_everywhere},
};

const COURSES: [Course; 8] = [
    Course::SMOOTH,
    Course::SLOWLY_READY,
    Course::SLOW_CLONES,
    Course::SLOW_ANSWERS,
    Course::SLOW,
    Course::FAILING,
    Course::HANGING,
    Course::NEVER_READY,
];

pub(in super::super) async fn cancelled_calls_give_back<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    for course in COURSES {
        let make = || {
            let world = probe.world(course);
            (probe.call(world.caller()), world)
        };
        let cancelling = cancel_everywhere(make, async |cancelled, world| {
            let after = format!("{course}, a call {cancelled}");
            given_back(probe, &world, &after)?;
            world.end(&after).await
        });
        cancelling.await.map_err(|stop| why(stop, course))?;
    }
    Ok(())
}

pub(in super::super) async fn cancelled_calls_do_not_wedge<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    for course in COURSES {
        let make = || {
            let world = probe.world(course);
            world.handle.limit_reservations(1);
            (probe.call(world.caller()), world)
        };
        let cancelling = cancel_everywhere(make, async |cancelled, world| {
            let after = format!("{course}, a call {cancelled}");
            probe.set_course(&world, Course::SMOOTH);
            probe.recovers(&world, Rule::CancelledCallsDoNotWedge, &after).await
        });
        cancelling.await.map_err(|stop| why(stop, course))?;
    }
    Ok(())
}

fn given_back<Req, Res, S>(
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
    let counts = world.handle.counts();
    // A service that is not `Clone` still exists, and may still be ready.
    let allowed = u64::from(!probe.clones());
    if counts.reservations_held > allowed {
        let seen = format!("{after}: {}", still_held(&world.handle));
        return Err(Violation::new(Rule::ReservationsComeBack, seen));
    }
    if counts.in_flight > 0 || counts.futures_live > 0 {
        let seen = format!(
            "{after}: below it {} calls are still in flight, {} response futures still exist",
            counts.in_flight, counts.futures_live
        );
        return Err(Violation::new(Rule::DroppedCallsEndBelow, seen));
    }
    Ok(())
}

fn why(stop: Stop<Violation>, course: Course) -> Violation {
    match stop {
        Stop::ClassifiedError(violation) => violation,
        Stop::Spinning(polls) => {
            let seen = format!("{course}: a call was polled {polls} times and did not finish");
            Violation::new(Rule::NoBusyLoops, seen)
        }
    }
}
