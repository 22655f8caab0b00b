//! The scenarios of the probe, each with a name that stays.

use std::fmt;

use tower_service::Service;

use super::{probe::Probe, scenarios};
use crate::{BoxError, Violation};

/// One part of the probe that [`Contract::run`](crate::Contract::run) makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scenario {
    /// Calls one after another, through clones and at once, over inner services that are ready at
    /// once, slowly, or whose clones are not ready when the original is.
    ReadyInstances,
    /// The inner service fails, hangs and recovers; readiness never fails.
    PassingCauses,
    /// A call is cancelled at every poll; all that it held below is given back.
    CancelledCallsGiveBack,
    /// A call is cancelled at every poll while the inner service has one reservation to give;
    /// the next call gets through.
    CancelledCallsDoNotWedge,
    /// A ready service is dropped uncalled; others get its reservation.
    UncalledServicesGiveBack,
    /// Who can go on is woken, also when it is polled by another task than before, and when
    /// another who waited is dropped.
    WakeUps,
    /// Nobody is polled again and again while the inner service does nothing.
    IdleWaits,
    /// A success and a failure reach the caller as they are.
    AnswersPassThrough,
}

impl Scenario {
    /// All scenarios, in the order of running.
    pub const ALL: &[Self] = &[
        Self::ReadyInstances,
        Self::PassingCauses,
        Self::CancelledCallsGiveBack,
        Self::CancelledCallsDoNotWedge,
        Self::UncalledServicesGiveBack,
        Self::WakeUps,
        Self::IdleWaits,
        Self::AnswersPassThrough,
    ];

    /// The stable name, for instance `wake-ups`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadyInstances => "ready-instances",
            Self::PassingCauses => "passing-causes",
            Self::CancelledCallsGiveBack => "cancelled-calls-give-back",
            Self::CancelledCallsDoNotWedge => "cancelled-calls-do-not-wedge",
            Self::UncalledServicesGiveBack => "uncalled-services-give-back",
            Self::WakeUps => "wake-ups",
            Self::IdleWaits => "idle-waits",
            Self::AnswersPassThrough => "answers-pass-through",
        }
    }

    pub(super) async fn play<Req, Res, S>(
        self,
        probe: &Probe<'_, Req, Res, S>,
    ) -> Result<(), Violation>
    where
        Req: 'static,
        Res: 'static,
        S: Service<Req> + 'static,
        S::Error: Into<BoxError>,
    {
        match self {
            Self::ReadyInstances => scenarios::ready_instances(probe).await,
            Self::PassingCauses => scenarios::passing_causes(probe).await,
            Self::CancelledCallsGiveBack => scenarios::cancelled_calls_give_back(probe).await,
            Self::CancelledCallsDoNotWedge => scenarios::cancelled_calls_do_not_wedge(probe).await,
            Self::UncalledServicesGiveBack => scenarios::uncalled_services_give_back(probe).await,
            Self::WakeUps => scenarios::wake_ups(probe).await,
            Self::IdleWaits => scenarios::idle_waits(probe).await,
            Self::AnswersPassThrough => scenarios::answers_pass_through(probe).await,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
