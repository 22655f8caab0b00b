//! The scenarios of the probe, each with a stable name.

use std::{fmt, future::Future};

use tower_service::Service;

use super::{probe::Probe, scenarios};
use crate::{BoxError, Violation, drive::on_a_paused_clock};

/// One part of the probe that [`Contract::run`](crate::Contract::run) runs.
///
/// Some scenarios need a property of the layer, such as a queue. Without it they have no occasion and pass;
/// [`Contract::require`](crate::Contract::require) makes that a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scenario {
    /// Sequential calls, through clones and concurrently, over inner services that are ready at once, slowly,
    /// or whose clones are not ready when the original is.
    ReadyInstances,
    /// The readiness of the inner service fails, at once or after a wait; the failed instance is not used
    /// again, and others are.
    FailedReadiness,
    /// The inner service fails, hangs and recovers; readiness never fails.
    PassingCauses,
    /// A call is cancelled at every poll; everything that it held below is released.
    CancelledCallsGiveBack,
    /// A call is cancelled at every poll while the inner service has one reservation; the next call gets
    /// through.
    CancelledCallsDoNotWedge,
    /// A ready service is dropped uncalled; others get its reservation.
    UncalledServicesGiveBack,
    /// Clones are made ready, then the layer rejects their calls; they are kept, and hold nothing below. Needs
    /// a service that is `Clone` and that rejects within 200 calls that succeed, or 200 that fail.
    RejectedClones,
    /// A call that can continue is woken, also if another task polls it than before, and if another waiting
    /// call is dropped.
    WakeUps,
    /// While calls are queued, an attempt with an older arrival joins; none is stranded. Needs
    /// [`Exchange::returning`](crate::Exchange::returning), and a service that queues a second call while
    /// the first is in flight.
    ReturningArrivals,
    /// Freed capacity goes to a queued call that is not polled; the next one gets it within a minute. Needs a
    /// service that queues a second call while the first is in flight.
    UnpolledGrants,
    /// Two services share a gate; what a call of one releases reaches a call that waits at the other. Needs
    /// [`Contract::shared`](crate::Contract::shared).
    SharedGates,
    /// No call is polled repeatedly while the inner service does nothing.
    IdleWaits,
    /// The inner service exhausts the cooperative budget of the task at each poll; a timeout still fires.
    /// Needs a service that ends a call that hangs below.
    BusyFutures,
    /// A success and a failure reach the caller unchanged.
    ResponsesPassThrough,
    /// A future is polled after it completed: with a success, a failure, a timeout and, if the layer
    /// rejects within 200 calls, a rejection.
    FinishedFutures,
    /// A service continues in a second runtime after the first one ended, with calls left behind that are
    /// dropped outside a runtime, dropped later, or kept unpolled.
    DeadRuntimes,
    /// A call that started in a runtime that ended completes in a second one. A layer whose calls hold a tokio
    /// timer panics here, as tokio's own `timeout` does.
    MovedCalls,
}

/// The result of a scenario that broke no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Played {
    Seen,
    /// The layer lacks the property that the scenario is about.
    NoOccasion(&'static str),
}

impl Played {
    /// The result of a scenario whose parts had an occasion or not.
    pub(super) fn if_any(seen: bool, otherwise: &'static str) -> Self {
        if seen { Self::Seen } else { Self::NoOccasion(otherwise) }
    }
}

impl Scenario {
    /// All scenarios, in the order of running.
    pub const ALL: &[Self] = &[
        Self::ReadyInstances,
        Self::FailedReadiness,
        Self::PassingCauses,
        Self::CancelledCallsGiveBack,
        Self::CancelledCallsDoNotWedge,
        Self::UncalledServicesGiveBack,
        Self::RejectedClones,
        Self::WakeUps,
        Self::ReturningArrivals,
        Self::UnpolledGrants,
        Self::SharedGates,
        Self::IdleWaits,
        Self::BusyFutures,
        Self::ResponsesPassThrough,
        Self::FinishedFutures,
        Self::DeadRuntimes,
        Self::MovedCalls,
    ];

    /// The stable name, for instance `wake-ups`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadyInstances => "ready-instances",
            Self::FailedReadiness => "failed-readiness",
            Self::PassingCauses => "passing-causes",
            Self::CancelledCallsGiveBack => "cancelled-calls-give-back",
            Self::CancelledCallsDoNotWedge => "cancelled-calls-do-not-wedge",
            Self::UncalledServicesGiveBack => "uncalled-services-give-back",
            Self::RejectedClones => "rejected-clones",
            Self::WakeUps => "wake-ups",
            Self::ReturningArrivals => "returning-arrivals",
            Self::UnpolledGrants => "unpolled-grants",
            Self::SharedGates => "shared-gates",
            Self::IdleWaits => "idle-waits",
            Self::BusyFutures => "busy-futures",
            Self::ResponsesPassThrough => "responses-pass-through",
            Self::FinishedFutures => "finished-futures",
            Self::DeadRuntimes => "dead-runtimes",
            Self::MovedCalls => "moved-calls",
        }
    }

    /// Runs it in a runtime of its own; those about runtimes create two.
    pub(super) fn play<Req, Res, S>(
        self,
        probe: &Probe<'_, Req, Res, S>,
    ) -> Result<Played, Violation>
    where
        Req: 'static,
        Res: 'static,
        S: Service<Req> + 'static,
        S::Error: Into<BoxError>,
    {
        match self {
            Self::ReadyInstances => always(scenarios::ready_instances(probe)),
            Self::FailedReadiness => always(probe.failed_readiness()),
            Self::PassingCauses => always(scenarios::passing_causes(probe)),
            Self::CancelledCallsGiveBack => always(scenarios::cancelled_calls_give_back(probe)),
            Self::CancelledCallsDoNotWedge => {
                always(scenarios::cancelled_calls_do_not_wedge(probe))
            }
            Self::UncalledServicesGiveBack => always(scenarios::uncalled_services_give_back(probe)),
            Self::RejectedClones => on_a_paused_clock(probe.rejected_clones()),
            Self::WakeUps => always(scenarios::wake_ups(probe)),
            Self::ReturningArrivals => on_a_paused_clock(probe.returning_arrivals()),
            Self::UnpolledGrants => on_a_paused_clock(probe.unpolled_grants()),
            Self::SharedGates => on_a_paused_clock(probe.shared_gates()),
            Self::IdleWaits => always(scenarios::idle_waits(probe)),
            Self::BusyFutures => on_a_paused_clock(probe.busy_futures()),
            Self::ResponsesPassThrough => always(scenarios::responses_pass_through(probe)),
            Self::FinishedFutures => always(probe.finished_futures()),
            Self::DeadRuntimes => probe.dead_runtimes().map(|()| Played::Seen),
            Self::MovedCalls => probe.moved_calls().map(|()| Played::Seen),
        }
    }
}

/// Runs the scenarios that apply to every layer.
fn always(play: impl Future<Output = Result<(), Violation>>) -> Result<Played, Violation> {
    on_a_paused_clock(play).map(|()| Played::Seen)
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
