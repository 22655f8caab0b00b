//! The behaviour of the inner service during a scenario.

use std::{error::Error, fmt, time::Duration};

use crate::{Instance, Readiness, Reply};

const MOMENT: Duration = Duration::from_millis(20);

/// When the first call of a late course completes: after others had time to queue behind it.
const LATE: Duration = Duration::from_secs(3);

/// The behaviour of the inner service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) name: &'static str,
    pub(super) readiness: fn(Instance) -> Readiness,
    pub(super) replies: Replies,
}

impl Course {
    pub(super) const SMOOTH: Self =
        Self { name: "ready and responding at once", readiness: at_once, replies: Replies::AtOnce };
    pub(super) const SLOWLY_READY: Self =
        Self { name: "slowly ready", readiness: slowly, replies: Replies::AtOnce };
    pub(super) const SLOW_CLONES: Self = Self {
        name: "clones ready later than the original",
        readiness: original_at_once,
        replies: Replies::AtOnce,
    };
    pub(super) const SLOW_ANSWERS: Self =
        Self { name: "responding slowly", readiness: at_once, replies: Replies::Slowly };
    pub(super) const SLOW: Self = Self {
        name: "slowly ready, responding slowly",
        readiness: slowly,
        replies: Replies::Slowly,
    };
    pub(super) const FAILING: Self =
        Self { name: "failing", readiness: at_once, replies: Replies::Failures };
    pub(super) const FLAKY: Self =
        Self { name: "failing every second call", readiness: slowly, replies: Replies::Flaky };
    pub(super) const FIRST_FAILS: Self = Self {
        name: "failing every second call, at once",
        readiness: at_once,
        replies: Replies::Flaky,
    };
    pub(super) const HANGING: Self =
        Self { name: "never responding", readiness: at_once, replies: Replies::Hang };
    pub(super) const BUSY: Self = Self {
        name: "never responding, using up the cooperative budget",
        readiness: at_once,
        replies: Replies::Busy,
    };
    pub(super) const BUSY_READINESS: Self = Self {
        name: "never ready, using up the cooperative budget",
        readiness: busy,
        replies: Replies::AtOnce,
    };
    pub(super) const FIRST_LATE: Self = Self {
        name: "responding to the first call late",
        readiness: at_once,
        replies: Replies::FirstLate,
    };
    pub(super) const FIRST_FAILS_LATE: Self = Self {
        name: "failing the first call late",
        readiness: at_once,
        replies: Replies::FirstFailsLate,
    };
    pub(super) const NEVER_READY: Self =
        Self { name: "never ready", readiness: never, replies: Replies::AtOnce };
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inner service {}", self.name)
    }
}

fn at_once(_: Instance) -> Readiness {
    Readiness::Ready
}

fn slowly(_: Instance) -> Readiness {
    Readiness::After(MOMENT)
}

fn original_at_once(instance: Instance) -> Readiness {
    if instance.is_original() { Readiness::Ready } else { Readiness::After(MOMENT) }
}

fn never(_: Instance) -> Readiness {
    Readiness::Pending
}

fn busy(_: Instance) -> Readiness {
    Readiness::Busy
}

/// How the inner service replies to calls.
#[derive(Clone, Copy, Debug)]
pub(super) enum Replies {
    AtOnce,
    Slowly,
    Failures,
    Flaky,
    Hang,
    Busy,
    FirstLate,
    FirstFailsLate,
}

impl Replies {
    pub(super) fn reply<Res>(self, call: u64, response: impl FnOnce(u64) -> Res) -> Reply<Res> {
        match self {
            Self::AtOnce => Reply::ok(response(call)),
            Self::Slowly => Reply::ok(response(call)).after(MOMENT),
            Self::Failures => Reply::err(PlantedFailure).after(MOMENT),
            Self::Flaky if call.is_multiple_of(2) => Reply::err(PlantedFailure),
            Self::Flaky => Reply::ok(response(call)),
            Self::Hang => Reply::Hang,
            Self::Busy => Reply::Busy,
            Self::FirstLate if call == 0 => Reply::ok(response(call)).after(LATE),
            Self::FirstFailsLate if call == 0 => Reply::err(PlantedFailure).after(LATE),
            Self::FirstLate | Self::FirstFailsLate => Reply::ok(response(call)),
        }
    }
}

/// The planned error of an inner service.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlantedFailure;

impl PlantedFailure {
    const MESSAGE: &str = "the inner service fails as planned";

    /// Whether an error is this one, or has it among its sources.
    pub(super) fn is_found_in(error: &(dyn Error + 'static)) -> bool {
        std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
            .any(|error| error.is::<Self>() || error.to_string().contains(Self::MESSAGE))
    }
}

impl fmt::Display for PlantedFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MESSAGE)
    }
}

impl Error for PlantedFailure {}
