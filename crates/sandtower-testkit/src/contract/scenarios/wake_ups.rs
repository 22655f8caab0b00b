//! A call that can continue is woken.

use std::{future::Future, time::Duration};

use tower_service::Service;

use super::super::{
    course::Course,
    probe::{Probe, World},
};
use crate::{
    BoxError, Readiness, Rule, Violation,
    drive::{Drive, Driven, Until},
};

/// Long enough for everything that happens without a change below.
const A_WHILE: Duration = Duration::from_secs(1);

const COURSES: [Course; 4] =
    [Course::SMOOTH, Course::SLOWLY_READY, Course::SLOW_ANSWERS, Course::SLOW];

pub(in super::super) async fn wake_ups<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    for course in COURSES {
        polled_by_another_task(probe, course).await?;
    }
    readiness_released(probe).await?;
    if probe.clones() {
        for dropped_when_woken in [false, true] {
            neighbour_dropped(probe, dropped_when_woken).await?;
        }
    }
    Ok(())
}

/// The waker of the latest poll counts, not that of the first.
async fn polled_by_another_task<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
    course: Course,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    let world = probe.world(course);
    let mut call = Driven::new(probe.call(world.caller()));
    if call.poll_with_forgotten_waker().is_ready() {
        return Ok(());
    }
    let what = format!("a call that moved to another task after one poll, {course}");
    let _ = probe.finish(&world, &mut call, Rule::CallsFinish, &what).await?;
    Ok(())
}

/// The inner service becomes ready by an event, not by a timer.
async fn readiness_released<Req, Res, S>(probe: &Probe<'_, Req, Res, S>) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    let world = probe.world(Course::NEVER_READY);
    let mut call = Driven::new(probe.call(world.caller()));
    if finishes_early(&mut call).await {
        return Ok(());
    }
    world.handle.set_readiness(|_| Readiness::Ready);
    let what = "a call, after the inner service became ready";
    let _ = probe.finish(&world, &mut call, Rule::NoLostWakeUps, &what).await?;
    Ok(())
}

/// Two calls wait for the one reservation; the first in the queue is dropped.
async fn neighbour_dropped<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
    dropped_when_woken: bool,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    let (world, holder) = probe.world_with_holder(Course::SMOOTH);
    let (mut first, mut second) = (wait(probe, &world), wait(probe, &world));
    if finishes_early(&mut first).await || finishes_early(&mut second).await {
        return Ok(());
    }
    if dropped_when_woken {
        drop(holder);
        drop(first);
    } else {
        drop(first);
        drop(holder);
    }
    let what = "a call that waits, after another that waited was dropped";
    let _ = probe.finish(&world, &mut second, Rule::NoLostWakeUps, &what).await?;
    Ok(())
}

fn wait<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
    world: &World<Req, Res, S>,
) -> Driven<impl Future + use<Req, Res, S>>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    Driven::new(probe.call(world.caller()))
}

/// Whether a call ends though the inner service is not ready: rejected, for example, or timed out.
async fn finishes_early<F: Future>(call: &mut Driven<F>) -> bool {
    matches!(call.run(Until::Finished, A_WHILE).await, Drive::Finished(_))
}
