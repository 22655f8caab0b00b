//! The contract probe of one layer.

mod course;
mod exchange;
mod probe;
mod queue;
mod scenario;
mod scenarios;

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tower_service::Service;

use self::probe::Probe;
use self::scenario::Played;
pub use self::{exchange::Exchange, scenario::Scenario};
use crate::{BoxError, Mock, Rule, Violation};

/// The virtual time that a service may take until it lets calls through again.
const RECOVERY: Duration = Duration::from_secs(3600);

/// Probes whether a service keeps the tower contract over any inner service.
///
/// It builds a new service for each scenario over a [`Mock`], on a new runtime with a paused clock, so a
/// contract test is a plain `#[test]`:
///
/// ```
/// use sandtower_testkit::Contract;
/// use tower::limit::ConcurrencyLimit;
///
/// // #[test]
/// fn keeps_the_tower_contract() {
///     Contract::of(|inner| ConcurrencyLimit::new(inner, 2)).run();
/// }
/// # keeps_the_tower_contract();
/// ```
///
/// Requests and responses are numbers; for a layer with other types see [`Exchange`]. Only the futures that
/// a caller polls are checked for spinning, not the tasks that a layer spawns.
#[must_use = "a contract proves nothing until it is run"]
pub struct Contract<Req, Res, S: Service<Req>> {
    build: Box<dyn Fn(Mock<Req, Res>) -> S>,
    pair: Option<BuildPair<Req, Res, S>>,
    copy: Option<fn(&S) -> S>,
    exchange: Exchange<Req, Res>,
    read: Box<dyn Fn(S::Response) -> u64>,
    recovery: Duration,
    skipped: Vec<(Scenario, &'static str)>,
    required: Vec<Scenario>,
}

type BuildPair<Req, Res, S> = Box<dyn Fn(Mock<Req, Res>, Mock<Req, Res>) -> (S, S)>;

impl<S: Service<u64, Response = u64>> Contract<u64, u64, S>
where
    S::Error: Into<BoxError>,
{
    /// The contract of the service from `build` over an inner service.
    pub fn of(build: impl Fn(Mock<u64, u64>) -> S + 'static) -> Self
    where
        S: Clone + 'static,
    {
        Exchange::numbers().contract(build, |response| response)
    }

    /// The contract of a service that is not `Clone`. Scenarios with several callers are skipped.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sandtower_testkit::Contract;
    /// use tower::limit::{RateLimit, rate::Rate};
    ///
    /// let rate = || Rate::new(10, Duration::from_secs(1));
    /// Contract::of_uncloned(move |inner| RateLimit::new(inner, rate())).run();
    /// ```
    pub fn of_uncloned(build: impl Fn(Mock<u64, u64>) -> S + 'static) -> Self
    where
        S: 'static,
    {
        Exchange::numbers().contract_uncloned(build, |response| response)
    }
}

impl<Req: 'static, Res: 'static, S: Service<Req> + 'static> Contract<Req, Res, S>
where
    S::Error: Into<BoxError>,
{
    fn new(
        exchange: Exchange<Req, Res>,
        copy: Option<fn(&S) -> S>,
        build: impl Fn(Mock<Req, Res>) -> S + 'static,
        read: impl Fn(S::Response) -> u64 + 'static,
    ) -> Self {
        Self {
            build: Box::new(build),
            pair: None,
            copy,
            exchange,
            read: Box::new(read),
            recovery: RECOVERY,
            skipped: Vec::new(),
            required: Vec::new(),
        }
    }

    /// The virtual time after which the service has to admit calls again, whatever failed before. Default:
    /// one hour.
    pub fn recovery(mut self, recovery: Duration) -> Self {
        self.recovery = recovery;
        self
    }

    /// Skips a scenario that does not apply to this layer. The reason is shown when another scenario
    /// fails.
    ///
    /// ```
    /// use sandtower_testkit::{Contract, Scenario};
    /// use tower::ServiceExt;
    ///
    /// Contract::of(|inner| inner.map_err(|_| "no"))
    ///     .skip(Scenario::ResponsesPassThrough, "its purpose is to hide errors")
    ///     .run();
    /// ```
    pub fn skip(mut self, scenario: Scenario, reason: &'static str) -> Self {
        self.skipped.push((scenario, reason));
        self
    }

    /// Two services, over one inner service each, that share a gate or limit of one concurrent attempt,
    /// for [`Scenario::SharedGates`].
    ///
    /// ```
    /// use sandtower_testkit::{Contract, Scenario};
    /// use tower::{Layer, limit::GlobalConcurrencyLimitLayer};
    ///
    /// Contract::of(|inner| GlobalConcurrencyLimitLayer::new(1).layer(inner))
    ///     .shared(|first, second| {
    ///         let limit = GlobalConcurrencyLimitLayer::new(1);
    ///         (limit.layer(first), limit.layer(second))
    ///     })
    ///     .require(Scenario::SharedGates)
    /// #   .skip(Scenario::UnpolledGrants, "a semaphore's permit belongs to its waiter")
    /// #   .skip(Scenario::DeadRuntimes, "a semaphore's permit belongs to its waiter")
    ///     .run();
    /// ```
    pub fn shared(
        mut self,
        build: impl Fn(Mock<Req, Res>, Mock<Req, Res>) -> (S, S) + 'static,
    ) -> Self {
        self.pair = Some(Box::new(build));
        self
    }

    /// Fails if the scenario has no occasion, for instance because the layer does not queue. By default
    /// that is only a remark, shown when another scenario fails.
    pub fn require(mut self, scenario: Scenario) -> Self {
        self.required.push(scenario);
        self
    }

    /// Runs every scenario that is not skipped.
    ///
    /// # Panics
    ///
    /// If a rule is broken, with every broken rule, what was seen and in which scenario; if a required
    /// scenario has no occasion; and if it runs within a runtime.
    pub fn run(&self) {
        let (mut broken, mut remarks) = (Vec::new(), String::new());
        for scenario in Scenario::ALL {
            if let Some((_, reason)) = self.skipped.iter().find(|(skipped, _)| skipped == scenario)
            {
                remarks.push_str(&format!("\nskipped: scenario `{scenario}`: {reason}"));
                continue;
            }
            match self.play(*scenario) {
                Ok(Played::Seen) => {}
                Ok(Played::NoOccasion(lack)) if self.required.contains(scenario) => {
                    broken.push(format!("scenario `{scenario}` has no occasion: {lack}"));
                }
                Ok(Played::NoOccasion(lack)) => {
                    remarks.push_str(&format!("\nno occasion: scenario `{scenario}`: {lack}"));
                }
                Err(violation) => broken.push(format!("{violation} (scenario `{scenario}`)")),
            }
        }
        assert!(broken.is_empty(), "{}{remarks}", broken.join("\n"));
    }

    fn play(&self, scenario: Scenario) -> Result<Played, Violation> {
        let probe = Probe::new(self);
        let played = catch_unwind(AssertUnwindSafe(|| scenario.play(&probe)));
        // The violations of the mock come first: they cause what is seen from outside, and a task may have
        // swallowed their panic.
        if let Some(violation) = probe.recorded_violation() {
            return Err(violation);
        }
        played.unwrap_or_else(|panic| {
            let seen = format!("the service panicked: {}", panic_message(&*panic));
            Err(Violation::new(Rule::NoPanics, seen))
        })
    }
}

impl<Req, Res, S: Service<Req>> fmt::Debug for Contract<Req, Res, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contract")
            .field("recovery", &self.recovery)
            .field("skipped", &self.skipped)
            .finish_non_exhaustive()
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    if let Some(message) = panic.downcast_ref::<String>() {
        message
    } else {
        panic.downcast_ref::<&str>().copied().unwrap_or("(without a message)")
    }
}
