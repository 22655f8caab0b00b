//! How the inner service behaves while a scenario plays.

use std::{error::Error, fmt, time::Duration};

use crate::{Answer, Instance, Readiness};

const MOMENT: Duration = Duration::from_millis(20);

/// When the first call of a late course completes: after others had time to queue behind it.
const LATE: Duration = Duration::from_secs(3);

/// How the inner service behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) name: &'static str,
    pub(super) readiness: fn(Instance) -> Readiness,
    pub(super) answers: Answers,
}

impl Course {
    pub(super) const SMOOTH: Self =
        Self { name: "ready and answering at once", readiness: at_once, answers: Answers::AtOnce };
    pub(super) const SLOWLY_READY: Self =
        Self { name: "slowly ready", readiness: slowly, answers: Answers::AtOnce };
    pub(super) const SLOW_CLONES: Self = Self {
        name: "clones ready later than the original",
        readiness: original_at_once,
        answers: Answers::AtOnce,
    };
    pub(super) const SLOW_ANSWERS: Self =
        Self { name: "answering slowly", readiness: at_once, answers: Answers::Slowly };
    pub(super) const SLOW: Self = Self {
        name: "slowly ready, answering slowly",
        readiness: slowly,
        answers: Answers::Slowly,
    };
    pub(super) const FAILING: Self =
        Self { name: "failing", readiness: at_once, answers: Answers::Failures };
    pub(super) const FLAKY: Self =
        Self { name: "failing every second call", readiness: slowly, answers: Answers::Flaky };
    pub(super) const FIRST_FAILS: Self = Self {
        name: "failing every second call, at once",
        readiness: at_once,
        answers: Answers::Flaky,
    };
    pub(super) const HANGING: Self =
        Self { name: "never answering", readiness: at_once, answers: Answers::Hang };
    pub(super) const BUSY: Self = Self {
        name: "never answering, using up the cooperative budget",
        readiness: at_once,
        answers: Answers::Busy,
    };
    pub(super) const BUSY_READINESS: Self = Self {
        name: "never ready, using up the cooperative budget",
        readiness: busy,
        answers: Answers::AtOnce,
    };
    pub(super) const FIRST_LATE: Self = Self {
        name: "answering the first call late",
        readiness: at_once,
        answers: Answers::FirstLate,
    };
    pub(super) const FIRST_FAILS_LATE: Self = Self {
        name: "failing the first call late",
        readiness: at_once,
        answers: Answers::FirstFailsLate,
    };
    pub(super) const NEVER_READY: Self =
        Self { name: "never ready", readiness: never, answers: Answers::AtOnce };
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

/// How the inner service answers calls.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answers {
    AtOnce,
    Slowly,
    Failures,
    Flaky,
    Hang,
    Busy,
    FirstLate,
    FirstFailsLate,
}

impl Answers {
    pub(super) fn answer<Res>(self, call: u64, response: impl FnOnce(u64) -> Res) -> Answer<Res> {
        match self {
            Self::AtOnce => Answer::ok(response(call)),
            Self::Slowly => Answer::ok(response(call)).after(MOMENT),
            Self::Failures => Answer::err(PlantedFailure).after(MOMENT),
            Self::Flaky if call.is_multiple_of(2) => Answer::err(PlantedFailure),
            Self::Flaky => Answer::ok(response(call)),
            Self::Hang => Answer::Hang,
            Self::Busy => Answer::Busy,
            Self::FirstLate if call == 0 => Answer::ok(response(call)).after(LATE),
            Self::FirstFailsLate if call == 0 => Answer::err(PlantedFailure).after(LATE),
            Self::FirstLate | Self::FirstFailsLate => Answer::ok(response(call)),
        }
    }
}

/// The error of an inner service that fails because the scenario wants it to.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlantedFailure;

impl PlantedFailure {
    const MESSAGE: &str = "the inner service fails as planned";

    /// Whether an error is this one, or tells of it anywhere among its sources.
    pub(super) fn is_told_by(error: &(dyn Error + 'static)) -> bool {
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
