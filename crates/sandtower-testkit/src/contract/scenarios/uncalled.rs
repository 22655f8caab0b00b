//! A service that was made ready and is dropped uncalled releases its reservation.

use std::{rc::Rc, time::Duration};

use tower_service::Service;

use super::super::{
    course::Course,
    probe::{Caller, Probe, World},
};
use crate::{
    BoxError, Rule, Violation,
    drive::{Drive, Driven, Until},
};

pub(in super::super) async fn uncalled_services_give_back<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    for course in [Course::SMOOTH, Course::SLOWLY_READY, Course::SLOW_CLONES] {
        let world = probe.world(course);
        world.handle.limit_reservations(1);
        let caller = world.caller();
        let what = format!("making a service ready, {course}");
        let mut ready = Driven::new(probe.ready(Rc::clone(&caller)));
        let _ = probe.finish(&world, &mut ready, Rule::CallsFinish, &what).await?;
        drop(ready);
        if probe.clones() {
            one_who_waits_proceeds(probe, &world, course, caller).await?;
        } else {
            drop(caller);
        }
        world.end(&format!("{course}, a ready service dropped uncalled")).await?;
    }
    Ok(())
}

/// Drops the ready service `holder` while another call waits for its reservation.
async fn one_who_waits_proceeds<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
    world: &World<Req, Res, S>,
    course: Course,
    holder: Caller<S>,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    let mut waits = Driven::new(probe.call(world.caller()));
    let early = waits.run(Until::Finished, Duration::from_secs(1)).await;
    drop(holder);
    if matches!(early, Drive::Finished(_)) {
        // The service does not reserve in `poll_ready`, so no call had to wait.
        return Ok(());
    }
    let what = format!(
        "{course}, with one reservation to give: a call, after a ready service was dropped uncalled"
    );
    let _ = probe.finish(world, &mut waits, Rule::ReservationsComeBack, &what).await?;
    Ok(())
}
