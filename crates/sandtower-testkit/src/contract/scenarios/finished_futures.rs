//! A future that is polled after it completed does not return `Pending`.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use tower_service::Service;

use super::super::{
    course::Course,
    probe::{Probe, World},
};
use crate::{
    BoxError, Rule, Violation,
    drive::{Drive, Driven, Until},
};

const COURSES: [Course; 4] =
    [Course::SMOOTH, Course::SLOW_ANSWERS, Course::FAILING, Course::HANGING];

impl<Req: 'static, Res: 'static, S> Probe<'_, Req, Res, S>
where
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    pub(in super::super) async fn finished_futures(&self) -> Result<(), Violation> {
        for course in COURSES {
            let world = self.world(course);
            self.polled_again(&world, &course).await?;
        }
        for course in [Course::SMOOTH, Course::FAILING] {
            let world = self.world(course);
            if self.clones() && self.rejected(&world).await.is_some() {
                self.polled_again(&world, &format!("{course}, rejected by the layer")).await?;
            }
        }
        Ok(())
    }

    async fn polled_again(
        &self,
        world: &World<Req, Res, S>,
        when: &dyn fmt::Display,
    ) -> Result<(), Violation> {
        let caller = world.caller();
        let mut ready = Driven::new(self.ready(Rc::clone(&caller)));
        let within = Duration::from_secs(1);
        if !matches!(ready.run(Until::Finished, within).await, Drive::Finished(Ok(()))) {
            return Ok(());
        }
        let mut response = Driven::new(caller.borrow_mut().call(self.request()));
        if !matches!(response.run(Until::Finished, self.recovery()).await, Drive::Finished(_)) {
            return Ok(());
        }
        is_pending(&mut response, when)
    }
}

fn is_pending<F: Future>(
    finished: &mut Driven<F>,
    when: &dyn fmt::Display,
) -> Result<(), Violation> {
    match catch_unwind(AssertUnwindSafe(|| finished.force().is_pending())) {
        Ok(true) => {
            let seen = format!(
                "{when}: a call's future was polled after it had completed, and is pending forever"
            );
            Err(Violation::new(Rule::FinishedFuturesAreNotPending, seen))
        }
        // It completes again, or panics as the futures of std do.
        Ok(false) | Err(_) => Ok(()),
    }
}
