//! A timer fires beside a future that exhausts the cooperative budget.

use std::{future::poll_fn, task::Poll, time::Duration};

use tokio::time::advance;
use tower_service::Service;

use super::super::{course::Course, probe::Probe, scenario::Played};
use crate::{
    BoxError, Rule, Violation,
    drive::{Drive, Driven, Until, now},
};

impl<Req: 'static, Res: 'static, S> Probe<'_, Req, Res, S>
where
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    /// Whatever the layer ends when the inner service hangs, it ends when that is busy.
    pub(in super::super) async fn busy_futures(&self) -> Result<Played, Violation> {
        let mut seen = false;
        for (hanging, busy) in
            [(Course::HANGING, Course::BUSY), (Course::NEVER_READY, Course::BUSY_READINESS)]
        {
            let Some(took) = self.time_out(hanging).await else { continue };
            seen = true;
            if !self.ends_within(busy, took * 2 + Duration::from_secs(1)).await {
                let seen = format!(
                    "{busy}: a call did not end within {:?}, though over an {hanging} it ends after \
                     {took:?}: poll the timer outside of the cooperative budget",
                    took * 2 + Duration::from_secs(1)
                );
                return Err(Violation::new(Rule::TimersFire, seen));
            }
        }
        Ok(Played::if_any(seen, "the layer ends no call that hangs below"))
    }

    /// The time after which the layer ends a call by itself.
    async fn time_out(&self, course: Course) -> Option<Duration> {
        let started = now();
        let world = self.world(course);
        let mut call = Driven::new(self.call(world.caller()));
        let ended = call.run(Until::Finished, self.recovery()).await;
        let took = now() - started;
        (matches!(ended, Drive::Finished(_)) && !took.is_zero()).then_some(took)
    }

    /// A busy future never lets the runtime idle, so the paused clock has to be advanced by hand.
    async fn ends_within(&self, course: Course, limit: Duration) -> bool {
        let world = self.world(course);
        let mut call = Driven::new(self.call(world.caller()));
        let step = (limit / 128).max(Duration::from_millis(1));
        let deadline = now() + limit;
        while now() < deadline {
            let polled = poll_fn(|cx| Poll::Ready(call.step(Until::Finished, cx))).await;
            if matches!(polled, Poll::Ready(Drive::Finished(_))) {
                return true;
            }
            advance(step).await;
        }
        false
    }
}
