//! What a call of one service releases reaches a call that waits at another.

use std::time::Duration;

use tower_service::Service;

use super::super::{
    course::Course,
    probe::{Call, Probe, World, spins},
    queue::Ending,
    scenario::Played,
};
use crate::{
    BoxError, Readiness, Rule, Violation,
    drive::{Drive, Until},
};

const A_WHILE: Duration = Duration::from_secs(1);

/// Far shorter than the lease of anything that is lost.
const PROMPTLY: Duration = Duration::from_secs(10);

/// Longer than a breaker is open before its first probe.
const PASSES_WITHIN: Duration = Duration::from_secs(120);

/// How the first service releases its permit of the gate.
#[derive(Clone, Copy, Debug)]
enum GivesBack {
    Ended(Ending),
    /// The call is dropped while it waits for the inner service to become ready: it was never sent.
    DroppedBeforeItWasSent,
    /// The inner service fails to become ready: the call was never sent.
    NotReady,
}

impl GivesBack {
    const ALL: [Self; 5] = [
        Self::Ended(Ending::Completed),
        Self::Ended(Ending::Failed),
        Self::Ended(Ending::Dropped),
        Self::DroppedBeforeItWasSent,
        Self::NotReady,
    ];

    fn course(self) -> Course {
        match self {
            Self::Ended(ending) => ending.course(),
            Self::DroppedBeforeItWasSent | Self::NotReady => Course::NEVER_READY,
        }
    }

    /// Whether the gate may close because of it, and keep the others waiting.
    fn is_a_failure(self) -> bool {
        matches!(self, Self::Ended(Ending::Failed) | Self::NotReady)
    }

    async fn give_back<Req, Res, S, T>(self, world: &World<Req, Res, S>, mut call: Call<T>) {
        match self {
            Self::Ended(ending) => ending.end(call).await,
            Self::DroppedBeforeItWasSent => drop(call),
            Self::NotReady => {
                world.handle.set_readiness(|_| Readiness::Err("gone, as planned".into()));
                let _failed = call.run(Until::Finished, A_WHILE).await;
            }
        }
    }
}

impl<Req: 'static, Res: 'static, S> Probe<'_, Req, Res, S>
where
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    pub(in super::super) async fn shared_gates(&self) -> Result<Played, Violation> {
        let mut seen = false;
        for gives_back in GivesBack::ALL {
            let Some(worlds) = self.pair([gives_back.course(), Course::SMOOTH]) else {
                return Ok(Played::NoOccasion("the contract has no services that share a gate"));
            };
            seen |= self.reaches(worlds, gives_back).await?;
        }
        Ok(Played::if_any(seen, "no call waits at one service while the other holds the gate"))
    }

    /// Whether a call had to wait at the second service.
    async fn reaches(
        &self,
        [first, second]: [World<Req, Res, S>; 2],
        gives_back: GivesBack,
    ) -> Result<bool, Violation> {
        let mut holds = self.start(&first);
        if !passes_the_gate(&first, &mut holds).await {
            return Ok(false);
        }
        let mut waits = self.start(&second);
        let waiting = waits.run(Until::Finished, A_WHILE).await;
        if !matches!(waiting, Drive::Silent) || second.handle.counts().readiness_polls > 0 {
            return Ok(false);
        }
        gives_back.give_back(&first, holds).await;
        let within = if gives_back.is_a_failure() { self.recovery() } else { PROMPTLY };
        let what = format!(
            "a call that waits at one of two services that share a gate, after a call of the other \
             gave back what it held ({gives_back:?})"
        );
        match waits.run(Until::Finished, within).await {
            Drive::Finished(_) => Ok(true),
            Drive::Spinning => Err(spins(&waits, &what)),
            Drive::Silent | Drive::Cut | Drive::CutWhenWoken => {
                let seen = format!("{what}: it was not served within {within:?}");
                Err(Violation::new(Rule::NoLostWakeUps, seen))
            }
        }
    }
}

/// Whether a call gets to the inner service, which a gate may allow only after a while, and stays there.
async fn passes_the_gate<Req, Res, S, T>(world: &World<Req, Res, S>, call: &mut Call<T>) -> bool {
    for _ in 0..PASSES_WITHIN.as_secs() {
        if !matches!(call.run(Until::Finished, A_WHILE).await, Drive::Silent) {
            return false;
        }
        if world.handle.counts().readiness_polls > 0 {
            return true;
        }
    }
    false
}
