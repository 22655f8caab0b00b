//! An instance whose readiness failed is not used again.
//!
//! The mock itself checks that. Here it remains to check that the service is usable afterwards.

use std::{rc::Rc, time::Duration};

use tower_service::Service;

use super::super::{
    course::Course,
    probe::{Fault, Probe, World},
};
use crate::{
    BoxError, Readiness, Rule, Violation,
    drive::{Driven, Until},
};

impl<Req: 'static, Res: 'static, S> Probe<'_, Req, Res, S>
where
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    pub(in super::super) async fn failed_readiness(&self) -> Result<(), Violation> {
        for failures in 1..=3 {
            for calls_before in 0..=1 {
                for while_waiting in [false, true] {
                    self.fails(failures, calls_before, while_waiting).await?;
                }
            }
        }
        Ok(())
    }

    async fn fails(
        &self,
        failures: u32,
        calls_before: u32,
        while_waiting: bool,
    ) -> Result<(), Violation> {
        let world = self.world(Course::SMOOTH);
        let caller = world.caller();
        let what = format!(
            "a call, the readiness of the inner service failing {failures} times after \
             {calls_before} calls"
        );
        for _ in 0..calls_before {
            let mut call = Driven::new(self.call(Rc::clone(&caller)));
            let _ = self.finish(&world, &mut call, Rule::CallsFinish, &what).await?;
        }
        if while_waiting {
            world.handle.set_readiness(|_| Readiness::Pending);
        } else {
            fail_next(&world, failures);
        }
        for number in 0..4 {
            let mut call = Driven::new(self.call(Rc::clone(&caller)));
            if while_waiting && number == 0 {
                let _waits = call.run(Until::Polls(1), Duration::from_secs(1)).await;
                fail_next(&world, failures);
            }
            let result = self.finish(&world, &mut call, Rule::CallsFinish, &what).await?;
            // A service that fails to become ready must not be used again itself.
            if let Err(Fault::Readiness(_)) = result {
                break;
            }
        }
        drop(caller);
        if self.clones() {
            self.recovers(&world, Rule::CallsFinish, &format!("{what}, dropped")).await?;
        }
        Ok(())
    }
}

fn fail_next<Req, Res, S>(world: &World<Req, Res, S>, failures: u32) {
    let mut left = failures;
    world.handle.set_readiness(move |_| match left.checked_sub(1) {
        Some(fewer) => {
            left = fewer;
            Readiness::Err("the inner service is gone, as planned".into())
        }
        None => Readiness::Ready,
    });
}
