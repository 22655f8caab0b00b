//! A service whose queue is in use: one call in flight, others behind it.

use std::time::Duration;

use tower_service::Service;

use super::{
    course::Course,
    probe::{Call, Probe, World},
};
use crate::{
    BoxError, Violation,
    drive::{Drive, Until},
};

/// Longer than the late course takes.
const UNTIL_ANSWERED: Duration = Duration::from_secs(10);

/// Why a service without a queue gives no occasion.
pub(super) const NO_QUEUE: &str = "the layer queues no call while another is in flight";

/// How a call in flight ends and frees its capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Completed,
    Failed,
    Dropped,
}

impl Ending {
    pub(super) const ALL: [Self; 3] = [Self::Completed, Self::Failed, Self::Dropped];

    /// The course in which the first call is in flight for a while, and ends like this.
    pub(super) fn course(self) -> Course {
        match self {
            Self::Completed => Course::FIRST_LATE,
            Self::Failed => Course::FIRST_FAILS_LATE,
            Self::Dropped => Course::HANGING,
        }
    }

    pub(super) async fn end<Res>(self, mut first: Call<Res>) {
        if self != Self::Dropped {
            let _ended = first.run(Until::Finished, UNTIL_ANSWERED).await;
        }
    }
}

/// One call in flight, and two that the layer itself holds; each polled as far as it went, and not since.
pub(super) struct Queue<Req, Res, S: Service<Req>> {
    pub(super) world: World<Req, Res, S>,
    pub(super) first: Call<S::Response>,
    pub(super) waiting: [Call<S::Response>; 2],
}

impl<Req: 'static, Res: 'static, S> Probe<'_, Req, Res, S>
where
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    /// Fills the queue within two seconds of virtual time; `None` if the layer holds no call.
    pub(super) async fn queue(
        &self,
        course: Course,
    ) -> Result<Option<Queue<Req, Res, S>>, Violation> {
        let world = self.world(course);
        let (mut first, second, third) =
            (self.start(&world), self.start(&world), self.start(&world));
        if is_over(&mut first, 1000).await || world.handle.counts().calls != 1 {
            return Ok(None);
        }
        let mut waiting = [second, third];
        for call in &mut waiting {
            if is_over(call, 500).await || world.handle.counts().calls != 1 {
                return Ok(None);
            }
        }
        // Calls that come later complete at once.
        if course.name == Course::HANGING.name {
            self.set_replies(&world, Course::SMOOTH);
        }
        Ok(Some(Queue { world, first, waiting }))
    }
}

async fn is_over<Res>(call: &mut Call<Res>, millis: u64) -> bool {
    !matches!(call.run(Until::Finished, Duration::from_millis(millis)).await, Drive::Silent)
}
