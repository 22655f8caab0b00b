//! While the inner service does nothing, no future is polled repeatedly.

use std::time::Duration;

use tower_service::Service;

use super::super::{
    course::Course,
    probe::{Probe, World, spins},
};
use crate::{
    BoxError, Violation,
    drive::{Drive, Driven, Until},
};

const IDLE: Duration = Duration::from_secs(10);

/// Enough for a layer's own timers, several per second; too little for a loop.
const POLLS: u64 = 64;

pub(in super::super) async fn idle_waits<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    for course in [Course::NEVER_READY, Course::HANGING] {
        idle(probe, &probe.world(course), course.name).await?;
    }
    let (world, _holder) = probe.world_with_holder(Course::SMOOTH);
    idle(probe, &world, "with no reservation to give").await
}

async fn idle<Req, Res, S>(
    probe: &Probe<'_, Req, Res, S>,
    world: &World<Req, Res, S>,
    inner: &str,
) -> Result<(), Violation>
where
    Req: 'static,
    Res: 'static,
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    let mut call = Driven::new(probe.call(world.caller()));
    let drive = call.run(Until::Finished, IDLE).await;
    if matches!(drive, Drive::Spinning) || call.polls() > POLLS {
        let what = format!("a call that waits for {IDLE:?}, inner service {inner}");
        return Err(spins(&call, &what));
    }
    Ok(())
}
