//! What a queue must not do to its calls.

use std::time::Duration;

use tower_service::Service;

use super::super::{
    probe::{Call, Probe, spins},
    queue::{Ending, NO_QUEUE, Queue},
    scenario::Played,
};
use crate::{
    BoxError, Rule, Violation,
    drive::{Drive, Until},
};

/// Older than everything in the queue.
const AGO: Duration = Duration::from_secs(60);

/// The longest that capacity may stay with a caller that is not polled.
const PASSED_ON_WITHIN: Duration = Duration::from_secs(60);

/// When an attempt returns to the queue.
#[derive(Clone, Copy, Debug)]
enum Returns {
    /// Before capacity is freed.
    Before,
    /// After the next call in the queue was woken for it, and before that one was polled.
    BetweenWakeAndPoll,
}

/// What happens to the returning attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Stays,
    LeavesAtOnce,
    LeavesWhenWoken,
}

impl<Req: 'static, Res: 'static, S> Probe<'_, Req, Res, S>
where
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    /// The next call in the queue changes repeatedly, and is woken each time.
    pub(in super::super) async fn returning_arrivals(&self) -> Result<Played, Violation> {
        for ending in Ending::ALL {
            for returns in [Returns::Before, Returns::BetweenWakeAndPoll] {
                for then in [Then::Stays, Then::LeavesAtOnce, Then::LeavesWhenWoken] {
                    let Some(queue) = self.queue(ending.course()).await? else {
                        return Ok(Played::NoOccasion(NO_QUEUE));
                    };
                    if !self.returns(queue, ending, returns, then).await? {
                        let lack = "the exchange has no returning attempts";
                        return Ok(Played::NoOccasion(lack));
                    }
                }
            }
        }
        Ok(Played::Seen)
    }

    async fn returns(
        &self,
        queue: Queue<Req, Res, S>,
        ending: Ending,
        returns: Returns,
        then: Then,
    ) -> Result<bool, Violation> {
        let Queue { world, first, waiting } = queue;
        let Some(back) = self.start_returning(&world, AGO) else { return Ok(false) };
        let mut back = match returns {
            Returns::Before => {
                let mut back = join(back).await;
                if then == Then::LeavesAtOnce {
                    back = None;
                }
                ending.end(first).await;
                back
            }
            Returns::BetweenWakeAndPoll => {
                ending.end(first).await;
                join(back).await
            }
        };
        if then == Then::LeavesWhenWoken
            && let Some(back) = &mut back
        {
            let _woken = back.run(Until::Woken(1), Duration::from_millis(1)).await;
        }
        if then != Then::Stays {
            back = None;
        }
        let mut calls: Vec<_> = waiting.into_iter().chain(back).collect();
        let what = format!(
            "a queued call, after the call in flight ended ({ending:?}) and an attempt with an older \
             arrival time joined ({returns:?}, {then:?})"
        );
        let ended = self.finish_all(&world, &mut calls, Rule::NoLostWakeUps, &what).await;
        ended.map(|_results| true)
    }

    /// The first call in the queue is not polled again.
    pub(in super::super) async fn unpolled_grants(&self) -> Result<Played, Violation> {
        for ending in Ending::ALL {
            let Some(queue) = self.queue(ending.course()).await? else {
                return Ok(Played::NoOccasion(NO_QUEUE));
            };
            let Queue { world, first, waiting: [mut unpolled, mut next] } = queue;
            ending.end(first).await;
            match next.run(Until::Finished, PASSED_ON_WITHIN).await {
                Drive::Finished(_) => {}
                Drive::Spinning => return Err(spins(&next, &"the second of the queue")),
                Drive::Silent | Drive::Cut | Drive::CutWhenWoken => {
                    let seen = format!(
                        "the call in flight ended ({ending:?}), the first of the queue was not \
                         polled since, and the second was not served within {PASSED_ON_WITHIN:?}"
                    );
                    return Err(Violation::new(Rule::CapacityIsPassedOn, seen));
                }
            }
            let what = "a queued call that was polled again after its capacity had been passed on";
            let _ = self.finish(&world, &mut unpolled, Rule::CallsFinish, &what).await?;
            drop((unpolled, next));
            world.end(&"a queue served out of order").await?;
        }
        Ok(Played::Seen)
    }
}

/// Polls a call once; `None` if that was all it needed.
async fn join<Res>(mut call: Call<Res>) -> Option<Call<Res>> {
    match call.run(Until::Polls(1), AGO).await {
        Drive::Finished(_) => None,
        _ => Some(call),
    }
}
