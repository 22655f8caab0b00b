//! Calls that the layer rejects, and clones that were ready for them, hold nothing below.

use std::{rc::Rc, time::Duration};

use tower_service::Service;

use super::super::{
    course::Course,
    probe::{Caller, Probe, World, still_held},
    scenario::Played,
};
use crate::{
    BoxError, Rule, Violation,
    drive::{Drive, Driven, Until},
};

impl<Req: 'static, Res: 'static, S> Probe<'_, Req, Res, S>
where
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    pub(in super::super) async fn rejected_clones(&self) -> Result<Played, Violation> {
        if !self.clones() {
            return Ok(Played::NoOccasion("the service cannot be cloned"));
        }
        let mut seen = false;
        for course in [Course::SMOOTH, Course::FAILING] {
            for ready in 0..=2 {
                seen |= self.rejects(course, ready).await?;
            }
        }
        Ok(Played::if_any(seen, "the layer rejects no call by itself"))
    }

    /// Whether calls were rejected while this many clones were `ready`.
    async fn rejects(&self, course: Course, ready: usize) -> Result<bool, Violation> {
        let world = self.world(course);
        world.handle.limit_reservations(ready + 1);
        let mut clones = Vec::new();
        for _ in 0..ready {
            let Some(clone) = self.ready_clone(&world).await else { return Ok(false) };
            clones.push(clone);
        }
        let Some(rejected) = self.rejected(&world).await else { return Ok(false) };
        for clone in &clones {
            let mut call = Driven::new(self.call(Rc::clone(clone)));
            let what = "a call through a clone made ready before others were rejected";
            let _ = self.finish(&world, &mut call, Rule::CallsFinish, &what).await?;
        }
        let what = format!("{course}, calls rejected, their {} clones kept", clones.len() + 1);
        nothing_held(&world, &what)?;
        drop(self.ready_clone(&world).await);
        nothing_held(&world, &format!("{what}, and another made ready and dropped"))?;
        drop((clones, rejected));
        world.end(&what).await?;
        Ok(true)
    }

    /// `None` if it waits for what the other clones hold.
    async fn ready_clone(&self, world: &World<Req, Res, S>) -> Option<Caller<S>> {
        let clone = world.caller();
        let mut ready = Driven::new(self.ready(Rc::clone(&clone)));
        let drive = ready.run(Until::Finished, Duration::from_secs(1)).await;
        matches!(drive, Drive::Finished(Ok(()))).then_some(clone)
    }
}

fn nothing_held<Req, Res, S>(world: &World<Req, Res, S>, after: &str) -> Result<(), Violation> {
    if world.handle.counts().reservations_held == 0 {
        return Ok(());
    }
    let seen = format!("{after}: {}", still_held(&world.handle));
    Err(Violation::new(Rule::ReservationsComeBack, seen))
}
