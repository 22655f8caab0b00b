//! What goes wrong besides what a world's constants bring about: faults by rule, at set times.

use std::{collections::BTreeMap, fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    answer::{self, ApiError},
    body::Body,
    dice::{Subject, dice, happens},
    placement::Failure,
    proxy, seconds,
};

/// Rules of a simulator at a time.
const MAX_FAULTS: usize = 64;
/// The longest name of a rule.
const MAX_NAME: usize = 64;

/// A rule of what goes wrong, for which requests, how often, and when.
///
/// In TOML or JSON times are seconds or texts such as `"30s"`; all but `name` and `kind` may be
/// left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What it is called in the ledger's counts.
    pub name: String,
    /// What happens.
    pub kind: FaultKind,
    /// Which requests it befalls, as the ledger names them (`sandbox_create`, `envd_process` and
    /// so on), or in groups: `control`, `envd`, `interpreter`. Without any it befalls all. What
    /// befalls a sandbox, and not a request, needs none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
    /// How probable it is.
    #[serde(default = "always")]
    pub rate: f64,
    /// When it begins, counted from when the rules were set.
    #[serde(default, with = "seconds")]
    pub from: Duration,
    /// When it ends, if it does.
    #[serde(default, with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub until: Option<Duration>,
    /// After which time `from` and `until` come again, if they do.
    #[serde(default, with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// How long it takes; what that means depends on the kind.
    #[serde(default, with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub lasting: Option<Duration>,
    /// What is answered, if the kind is `answer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<FaultAnswer>,
    /// Whether the work is done all the same, if the kind is `answer` or `stall`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_work: bool,
    /// How many sandboxes may run, if the kind is `capacity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
}

fn always() -> f64 {
    1.0
}

/// What a fault does. The first six befall a request, and of those that do only the first rule
/// counts; the others add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// The connection is refused: nothing was processed.
    Refuse,
    /// The connection is reset before the work is done.
    Reset,
    /// The connection is reset after the work is done: its answer is lost.
    Lose,
    /// Nothing comes for `lasting` (a minute), then the connection is reset.
    Stall,
    /// The answer breaks off in the middle of its body.
    Cut,
    /// Another answer is given in place of the right one, after `lasting` (at once).
    Answer,
    /// The work begins `lasting` later (a second).
    Slow,
    /// Answers do not tell of the rate limit.
    Bare,
    /// A creation commits `lasting` (5 s) after the balancer has given up on it.
    LateCommit,
    /// A sandbox that is created is a zombie.
    Zombie,
    /// A sandbox that is created dies `lasting` (10 s) later.
    Die,
    /// A sandbox that is created is not listed until `lasting` (5 s) later.
    Lag,
    /// No more than `slots` sandboxes may run: creations beyond are 503.
    Capacity,
}

/// An answer that is given in place of the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultAnswer {
    /// The API's 401: so it answers too when the look-up of a key fails.
    #[serde(rename = "unauthorized_401")]
    Unauthorized401,
    /// The sandbox proxy's 409: a sandbox is being paused or resumed.
    #[serde(rename = "transitioning_409")]
    Transitioning409,
    /// The API's 429 for asking too often, with the fields that say so and a wait of a second.
    #[serde(rename = "rate_429")]
    Rate429,
    /// The balancer's 429, in plain text.
    #[serde(rename = "balancer_429")]
    Balancer429,
    /// The sandbox proxy's 429.
    #[serde(rename = "connections_429")]
    Connections429,
    /// The API's 500.
    #[serde(rename = "internal_500")]
    Internal500,
    /// The API's 500 when no node could start the sandbox.
    #[serde(rename = "create_failed_500")]
    CreateFailed500,
    /// The API's 500 that no attempt cures.
    #[serde(rename = "create_refused_500")]
    CreateRefused500,
    /// The balancer's 502, in plain text.
    #[serde(rename = "balancer_502")]
    Balancer502,
    /// The sandbox proxy's 502, in plain text.
    #[serde(rename = "route_502")]
    Route502,
    /// The sandbox proxy's 502 for a sandbox that is not there.
    #[serde(rename = "not_found_502")]
    NotFound502,
    /// The sandbox proxy's 502 for a port that is closed.
    #[serde(rename = "port_closed_502")]
    PortClosed502,
    /// The API's 503 in plain text while it drains.
    #[serde(rename = "draining_503")]
    Draining503,
    /// The API's 503 that is over shortly.
    #[serde(rename = "capacity_503")]
    Capacity503,
    /// The API's 503 that no attempt cures.
    #[serde(rename = "no_compatible_node_503")]
    NoCompatibleNode503,
    /// The API's 504.
    #[serde(rename = "placement_timeout_504")]
    PlacementTimeout504,
    /// The balancer's 504, in plain text.
    #[serde(rename = "balancer_504")]
    Balancer504,
}

impl FaultAnswer {
    /// The answer, of the sandbox and its port that a request was for, if it was for one.
    pub(crate) fn response(self, sandbox: Option<(&str, u16)>) -> Response<Body> {
        let (id, port) = sandbox.unwrap_or_default();
        let internal = |message: &str| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message);
        match self {
            Self::Unauthorized401 => {
                ApiError::new(StatusCode::UNAUTHORIZED, "Invalid API key").answer()
            }
            Self::Transitioning409 => proxy::transitioning(id),
            Self::Rate429 => {
                let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded");
                let mut answer = error.answer();
                for (name, value) in [
                    ("retry-after", "1"),
                    ("ratelimit-limit", "1"),
                    ("ratelimit-remaining", "0"),
                    ("ratelimit-reset", "1"),
                ] {
                    answer.headers_mut().insert(name, HeaderValue::from_static(value));
                }
                answer
            }
            Self::Balancer429 => answer::text(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
            Self::Connections429 => proxy::too_many_connections(id),
            Self::Internal500 => {
                internal("Internal server error").code("internal_server_error").answer()
            }
            Self::CreateFailed500 => Failure::CreateFailed.error().answer(),
            Self::CreateRefused500 => internal("Failed to place sandbox: it was refused")
                .code("sandbox_create_refused")
                .answer(),
            Self::Balancer502 => answer::text(StatusCode::BAD_GATEWAY, "Bad Gateway"),
            Self::Route502 => {
                answer::text(StatusCode::BAD_GATEWAY, "Failed to route request to sandbox")
            }
            Self::NotFound502 => proxy::not_found(id),
            Self::PortClosed502 => proxy::port_closed(id, port),
            Self::Draining503 => {
                answer::text(StatusCode::SERVICE_UNAVAILABLE, "Service is unavailable")
            }
            Self::Capacity503 => Failure::NoCapacity.error().answer(),
            Self::NoCompatibleNode503 => {
                let message = "Failed to place sandbox: no node is compatible with it";
                let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message);
                error.code("sandbox_no_compatible_node").answer()
            }
            Self::PlacementTimeout504 => Failure::PlacementTimeout.error().answer(),
            Self::Balancer504 => {
                answer::text(StatusCode::GATEWAY_TIMEOUT, "upstream request timeout")
            }
        }
    }
}

/// A fault that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidFault {
    /// The fault's name.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl fmt::Display for InvalidFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the fault {:?} {}", self.name, self.problem)
    }
}

impl std::error::Error for InvalidFault {}

/// The groups of requests that a rule may name.
const GROUPS: &[&str] = &["control", "envd", "interpreter"];

/// The requests that a rule may name.
const REQUESTS: &[&str] = &[
    "envd_files",
    "envd_filesystem",
    "envd_health",
    "envd_other",
    "envd_process",
    "health",
    "interpreter_contexts",
    "interpreter_execute",
    "interpreter_other",
    "sandbox_connect",
    "sandbox_create",
    "sandbox_info",
    "sandbox_kill",
    "sandbox_list",
    "sandbox_logs",
    "sandbox_metrics",
    "sandbox_pause",
    "sandbox_refresh",
    "sandbox_resume",
    "sandbox_timeout",
    "sandboxes_metrics",
];

impl Fault {
    /// A fault that always befalls all requests.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: FaultKind) -> Self {
        Self {
            name: name.into(),
            kind,
            on: Vec::new(),
            rate: 1.0,
            from: Duration::ZERO,
            until: None,
            every: None,
            lasting: None,
            answer: None,
            after_work: false,
            slots: None,
        }
    }

    fn check(&self) -> Result<(), InvalidFault> {
        let known = |on: &String| GROUPS.contains(&on.as_str()) || REQUESTS.contains(&on.as_str());
        let window = self.until.is_none_or(|until| self.from < until);
        let again = match (self.every, self.until) {
            (Some(every), Some(until)) => until <= every,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let problem = if self.name.is_empty() || self.name.len() > MAX_NAME {
            "needs a name of at most 64 bytes"
        } else if !(0.0..=1.0).contains(&self.rate) {
            "has a rate that is no probability, 0 to 1"
        } else if !window {
            "ends before it begins"
        } else if !again {
            "comes again before it ends"
        } else if !self.on.iter().all(known) {
            "names a request that there is not"
        } else if (self.kind == FaultKind::Answer) != self.answer.is_some() {
            "needs `answer` if its kind is \"answer\", and only then"
        } else if (self.kind == FaultKind::Capacity) != self.slots.is_some() {
            "needs `slots` if its kind is \"capacity\", and only then"
        } else {
            return Ok(());
        };
        Err(InvalidFault { name: self.name.clone(), problem })
    }

    fn is_on(&self, request: &str) -> bool {
        let group = match request.split_once('_') {
            Some(("envd", _)) => "envd",
            Some(("interpreter", _)) => "interpreter",
            _ => "control",
        };
        self.on.is_empty() || self.on.iter().any(|on| on == request || on == group)
    }

    /// Whether it is its time, so long after the rules were set.
    fn is_time(&self, since: Duration) -> bool {
        let since = match self.every {
            Some(every) if !every.is_zero() => {
                let left = since.as_nanos() % every.as_nanos();
                Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))
            }
            _ => since,
        };
        self.from <= since && self.until.is_none_or(|until| since < until)
    }

    fn befalls_requests(&self) -> bool {
        use FaultKind::{Answer, Bare, Cut, Lose, Refuse, Reset, Slow, Stall};
        matches!(self.kind, Refuse | Reset | Lose | Stall | Cut | Answer | Slow | Bare)
    }

    fn lasting(&self, seconds: u64) -> Duration {
        self.lasting.unwrap_or(Duration::from_secs(seconds))
    }
}

/// The rules that hold, and how often they did.
#[derive(Debug)]
pub(crate) struct Faults {
    rules: Vec<Fault>,
    set_at: Instant,
    counts: BTreeMap<String, u64>,
    drawn: u64,
}

/// What befalls one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mishap {
    pub(crate) breaks: Option<Break>,
    pub(crate) slow: Duration,
    pub(crate) bare: bool,
}

/// What a request gets in place of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    Refuse,
    Reset,
    Lose,
    Stall { lasting: Duration, after_work: bool },
    Cut,
    Answer { answer: FaultAnswer, lasting: Duration, after_work: bool },
}

/// What befalls one sandbox.
#[derive(Clone, Debug, Default)]
pub(crate) struct Curse {
    pub(crate) commits_late: Option<Duration>,
    pub(crate) zombie: bool,
    pub(crate) dies: Option<Duration>,
    pub(crate) lags: Duration,
}

impl Faults {
    pub(crate) fn new(rules: Vec<Fault>, now: Instant) -> Result<Self, InvalidFault> {
        if rules.len() > MAX_FAULTS {
            let name = rules[MAX_FAULTS].name.clone();
            return Err(InvalidFault { name, problem: "is one too many: 64 are allowed" });
        }
        rules.iter().try_for_each(Fault::check)?;
        Ok(Self { rules, set_at: now, counts: BTreeMap::new(), drawn: 0 })
    }

    pub(crate) fn rules(&self) -> &[Fault] {
        &self.rules
    }

    /// How often each rule of now held.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.clone()
    }

    /// Throws the dice for a request.
    pub(crate) fn befall(&mut self, seed: u64, request: &str, now: Instant) -> Mishap {
        let mut mishap = Mishap::default();
        if self.rules.is_empty() {
            return mishap;
        }
        self.drawn += 1;
        let mut dice = dice(seed, Subject::Fault, self.drawn);
        let since = now.saturating_duration_since(self.set_at);
        for rule in &self.rules {
            // Each rule draws whether it holds or not, so that one more changes no other.
            let happens = happens(&mut dice, rule.rate);
            if !happens || !rule.befalls_requests() || !rule.is_time(since) || !rule.is_on(request)
            {
                continue;
            }
            let breaks = match rule.kind {
                FaultKind::Slow => {
                    mishap.slow = mishap.slow.saturating_add(rule.lasting(1));
                    None
                }
                FaultKind::Bare => {
                    mishap.bare = true;
                    None
                }
                _ if mishap.breaks.is_some() => continue,
                FaultKind::Refuse => Some(Break::Refuse),
                FaultKind::Reset => Some(Break::Reset),
                FaultKind::Lose => Some(Break::Lose),
                FaultKind::Cut => Some(Break::Cut),
                FaultKind::Stall => {
                    let after_work = rule.after_work;
                    Some(Break::Stall { lasting: rule.lasting(60), after_work })
                }
                _ => rule.answer.map(|answer| {
                    let after_work = rule.after_work;
                    Break::Answer { answer, lasting: rule.lasting(0), after_work }
                }),
            };
            mishap.breaks = mishap.breaks.or(breaks);
            *self.counts.entry(rule.name.clone()).or_default() += 1;
        }
        mishap
    }

    /// Throws the dice for a creation.
    pub(crate) fn curse(&mut self, seed: u64, creation: u64, now: Instant) -> Curse {
        let mut curse = Curse::default();
        if self.rules.is_empty() {
            return curse;
        }
        let mut dice = dice(seed, Subject::CreationFault, creation);
        let since = now.saturating_duration_since(self.set_at);
        for rule in &self.rules {
            let happens = happens(&mut dice, rule.rate);
            if !happens || !rule.is_time(since) {
                continue;
            }
            match rule.kind {
                FaultKind::LateCommit => curse.commits_late = Some(rule.lasting(5)),
                FaultKind::Zombie => curse.zombie = true,
                FaultKind::Die => curse.dies = Some(rule.lasting(10)),
                FaultKind::Lag => curse.lags = rule.lasting(5),
                _ => continue,
            }
            *self.counts.entry(rule.name.clone()).or_default() += 1;
        }
        curse
    }

    /// How many sandboxes may run, if fewer than usual.
    pub(crate) fn slots(&self, now: Instant) -> Option<u32> {
        let since = now.saturating_duration_since(self.set_at);
        self.rules.iter().filter(|rule| rule.is_time(since)).filter_map(|rule| rule.slots).min()
    }
}

/// The first half of a body, after which it breaks off.
pub(crate) fn half(body: &Bytes) -> Bytes {
    body.slice(..body.len() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_rule_holds_at_its_times_and_for_its_requests() {
        let rule = Fault {
            on: vec![String::from("sandbox_create"), String::from("envd")],
            from: secs(10),
            until: Some(secs(20)),
            every: Some(secs(100)),
            ..Fault::new("x", FaultKind::Refuse)
        };
        assert_eq!(rule.check(), Ok(()));
        for (at, holds) in [(0, false), (10, true), (19, true), (20, false), (115, true)] {
            assert_eq!(rule.is_time(secs(at)), holds, "{at}");
        }
        for (request, holds) in
            [("sandbox_create", true), ("sandbox_kill", false), ("envd_health", true)]
        {
            assert_eq!(rule.is_on(request), holds, "{request}");
        }
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        let good = || Fault::new("x", FaultKind::Refuse);
        for bad in [
            Fault { rate: 1.5, ..good() },
            Fault { rate: f64::NAN, ..good() },
            Fault { name: String::new(), ..good() },
            Fault { from: secs(2), until: Some(secs(1)), ..good() },
            Fault { every: Some(secs(2)), ..good() },
            Fault { every: Some(secs(2)), until: Some(secs(3)), ..good() },
            Fault { on: vec![String::from("sandbox_craete")], ..good() },
            Fault { kind: FaultKind::Answer, ..good() },
            Fault { answer: Some(FaultAnswer::Balancer504), ..good() },
            Fault { kind: FaultKind::Capacity, ..good() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(Faults::new(vec![good(); MAX_FAULTS + 1], clock::now()).is_err());
    }

    #[test]
    fn one_more_rule_changes_no_other() {
        let half = |name| Fault { rate: 0.5, ..Fault::new(name, FaultKind::Bare) };
        let drawn = |rules| {
            let mut faults = Faults::new(rules, clock::now()).unwrap();
            for _ in 0..100 {
                faults.befall(7, "sandbox_list", clock::now());
            }
            faults.counts().remove("a")
        };
        assert_eq!(drawn(vec![half("a")]), drawn(vec![half("a"), half("b")]));
    }
}
