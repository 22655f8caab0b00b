//! A service is used in a second runtime after the first one ended.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use tokio::time::sleep;
use tower_service::Service;

use super::super::{
    course::Course,
    probe::{Probe, World},
    queue::Queue,
};
use crate::{
    BoxError, Readiness, Rule, Violation,
    drive::{Drive, Driven, Until, on_a_paused_clock},
};

const A_WHILE: Duration = Duration::from_secs(1);

/// The clock of a second runtime starts at real time, which may be before the virtual time of the first: this
/// much later, time has not gone back for the service.
const LATER: Duration = Duration::from_secs(3600);

/// When what was left behind in the first runtime is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    OutsideOfARuntime,
    InTheSecond,
    AfterOthersWereServed,
}

impl<Req: 'static, Res: 'static, S> Probe<'_, Req, Res, S>
where
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    /// Services and calls left behind block nothing.
    pub(in super::super) fn dead_runtimes(&self) -> Result<(), Violation> {
        for course in [Course::SMOOTH, Course::SLOW, Course::FAILING] {
            self.used_before(course)?;
        }
        self.ready_before()?;
        for course in [Course::HANGING, Course::NEVER_READY, Course::SLOW] {
            for dropped in [Dropped::OutsideOfARuntime, Dropped::InTheSecond] {
                self.left_behind(course, dropped)?;
            }
        }
        for dropped in
            [Dropped::OutsideOfARuntime, Dropped::InTheSecond, Dropped::AfterOthersWereServed]
        {
            self.left_in_the_queue(dropped)?;
        }
        Ok(())
    }

    fn used_before(&self, course: Course) -> Result<(), Violation> {
        let world = on_a_paused_clock(async {
            let world = self.world(course);
            let mut call = Driven::new(self.call(world.caller()));
            let what = format!("a call, {course}");
            let _ = self.finish(&world, &mut call, Rule::CallsFinish, &what).await?;
            Ok(world)
        })?;
        let after = format!("{course}, after calls in a runtime that ended");
        on_a_paused_clock(self.goes_on(world, &after))
    }

    /// A service is made ready in one runtime and called in the next.
    fn ready_before(&self) -> Result<(), Violation> {
        let (world, caller) = on_a_paused_clock(async {
            let world = self.world(Course::SMOOTH);
            let caller = world.caller();
            let mut ready = Driven::new(self.ready(Rc::clone(&caller)));
            let what = "making a service ready";
            let _ = self.finish(&world, &mut ready, Rule::CallsFinish, &what).await?;
            Ok((world, caller))
        })?;
        on_a_paused_clock(async {
            sleep(LATER).await;
            let mut call = Driven::new(self.call(caller));
            let what = "a call through a service made ready in a runtime that ended";
            let _ = self.finish(&world, &mut call, Rule::RuntimesMayEnd, &what).await?;
            Ok(())
        })
    }

    /// Two calls are in flight when their runtime ends.
    fn left_behind(&self, course: Course, dropped: Dropped) -> Result<(), Violation> {
        let (world, calls) = on_a_paused_clock(async {
            let world = self.world(course);
            let mut calls = [self.start(&world), self.start(&world)];
            for call in &mut calls {
                let _ = call.run(Until::Polls(1), A_WHILE).await;
            }
            (world, calls)
        });
        let after = format!("{course}, calls left in a runtime that ended, dropped {dropped:?}");
        let mut calls: Vec<_> = calls.into_iter().collect();
        if dropped == Dropped::OutsideOfARuntime {
            drop_outside(&mut calls, &after)?;
        }
        on_a_paused_clock(async {
            drop(calls);
            self.goes_on(world, &after).await
        })
    }

    /// The call in flight is dropped, those queued behind it are not.
    fn left_in_the_queue(&self, dropped: Dropped) -> Result<(), Violation> {
        let Some(queue) = on_a_paused_clock(self.queue(Course::HANGING))? else { return Ok(()) };
        let Queue { world, first, waiting } = queue;
        let after = format!("queued calls left in a runtime that ended, dropped {dropped:?}");
        let mut waiting: Vec<_> = waiting.into_iter().collect();
        if dropped == Dropped::OutsideOfARuntime {
            drop_outside(&mut waiting, &after)?;
        }
        on_a_paused_clock(async {
            drop(first);
            if dropped == Dropped::InTheSecond {
                waiting.clear();
            }
            self.goes_on_beside(&world, &after).await?;
            drop(waiting);
            world.end(&after).await
        })
    }

    async fn goes_on(&self, world: World<Req, Res, S>, after: &str) -> Result<(), Violation> {
        self.goes_on_beside(&world, after).await?;
        world.end(&after).await
    }

    async fn goes_on_beside(
        &self,
        world: &World<Req, Res, S>,
        after: &str,
    ) -> Result<(), Violation> {
        sleep(LATER).await;
        self.set_course(world, Course::SMOOTH);
        self.recovers(world, Rule::RuntimesMayEnd, &after).await
    }

    /// A call itself continues in the second runtime.
    pub(in super::super) fn moved_calls(&self) -> Result<(), Violation> {
        self.moved_response()?;
        self.moved_in_flight();
        self.moved_after_polls(Course::FIRST_FAILS, 1, "whose first attempt may have failed")?;
        for polls in [0, 1] {
            self.moved_after_polls(Course::NEVER_READY, polls, "that was not sent yet")?;
        }
        self.moved_in_the_queue()
    }

    fn moved_response(&self) -> Result<(), Violation> {
        let (world, response) = on_a_paused_clock(async {
            let world = self.world(Course::SMOOTH);
            let caller = world.caller();
            let mut ready = Driven::new(self.ready(Rc::clone(&caller)));
            let what = "making a service ready";
            let _ = self.finish(&world, &mut ready, Rule::CallsFinish, &what).await?;
            let response = caller.borrow_mut().call(self.request());
            Ok((world, Driven::new(response)))
        })?;
        self.completes(&world, response, "a response that was not polled")
    }

    /// The inner service never responds; all that can go wrong is a panic.
    fn moved_in_flight(&self) {
        let mut call = on_a_paused_clock(async {
            let mut call = self.start(&self.world(Course::HANGING));
            let _ = call.run(Until::Polls(1), A_WHILE).await;
            call
        });
        on_a_paused_clock(async {
            let _ = call.run(Until::Finished, A_WHILE).await;
        });
    }

    fn moved_after_polls(&self, course: Course, polls: u64, which: &str) -> Result<(), Violation> {
        let (world, call) = on_a_paused_clock(async {
            let world = self.world(course);
            let mut call = self.start(&world);
            let drive = call.run(Until::Polls(polls), A_WHILE).await;
            (world, (!matches!(drive, Drive::Finished(_))).then_some(call))
        });
        let Some(call) = call else { return Ok(()) };
        self.completes(&world, call, &format!("a call {which}, polled {polls} times"))
    }

    fn moved_in_the_queue(&self) -> Result<(), Violation> {
        let Some(queue) = on_a_paused_clock(self.queue(Course::HANGING))? else { return Ok(()) };
        let Queue { world, first, waiting: [next, _dropped] } = queue;
        drop(first);
        self.completes(&world, next, "a queued call")
    }

    fn completes<F: Future>(
        &self,
        world: &World<Req, Res, S>,
        mut call: Driven<F>,
        what: &str,
    ) -> Result<(), Violation> {
        on_a_paused_clock(async {
            world.handle.set_readiness(|_| Readiness::Ready);
            let what = format!("{what}, moved from a runtime that ended");
            let _ = self.finish(world, &mut call, Rule::RuntimesMayEnd, &what).await?;
            Ok(())
        })
    }
}

fn drop_outside<T>(calls: &mut Vec<T>, after: &str) -> Result<(), Violation> {
    let mut panicked = false;
    // One by one: a second panic while the first unwinds would abort the test.
    while let Some(call) = calls.pop() {
        panicked |= catch_unwind(AssertUnwindSafe(|| drop(call))).is_err();
    }
    if panicked {
        let seen = format!("{after}: dropping a call outside of a runtime panics");
        return Err(Violation::new(Rule::NoPanics, seen));
    }
    Ok(())
}
