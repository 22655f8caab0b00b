//! The scenarios, each independent of the others.

mod busy_futures;
mod cancellation;
mod failed_readiness;
mod finished_futures;
mod idle_waits;
mod passing_causes;
mod queues;
mod ready_instances;
mod rejected_clones;
mod replies;
mod runtimes;
mod shared_gates;
mod uncalled;
mod wake_ups;

pub(super) use self::{
    cancellation::{cancelled_calls_do_not_wedge, cancelled_calls_give_back},
    idle_waits::idle_waits,
    passing_causes::passing_causes,
    ready_instances::ready_instances,
    replies::responses_pass_through,
    uncalled::uncalled_services_give_back,
    wake_ups::wake_ups,
};
