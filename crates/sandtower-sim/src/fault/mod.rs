//! Faults by rule, at set times, besides those that a world's constants cause.

mod response;
mod rules;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{error::InvalidConfig, seconds};

pub use response::FaultResponse;
pub(crate) use rules::{Break, FaultPlan, Injected, InjectedCreation};

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
    /// The requests that it is injected into, as the ledger names them (`sandbox_create`,
    /// `envd_process` and so on), or in groups: `control`, `envd`, `interpreter`; all, by default.
    /// Faults of sandboxes need none.
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
    /// The response, if the kind is `respond`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<FaultResponse>,
    /// Whether the work is done all the same, if the kind is `respond` or `stall`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_work: bool,
    /// How many sandboxes may run, if the kind is `capacity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
}

fn always() -> f64 {
    1.0
}

/// What a fault does. Of the first six, only the first rule that holds for a request is injected;
/// the others add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// The connection is refused: nothing was processed.
    Refuse,
    /// The connection is reset before the work is done.
    Reset,
    /// The connection is reset after the work is done: its response is lost.
    Lose,
    /// Nothing comes for `lasting` (a minute), then the connection is reset.
    Stall,
    /// The response breaks off in the middle of its body.
    Cut,
    /// Another response is sent in place of the right one, after `lasting` (at once).
    Respond,
    /// The work begins `lasting` later (a second).
    Slow,
    /// Responses lack the headers of the rate limit.
    Bare,
    /// A creation commits `lasting` (5 s) after the balancer has timed out.
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

/// The groups of requests that a rule may name.
const GROUPS: &[&str] = &["control", "envd", "interpreter"];

/// The requests that a rule may name.
const REQUESTS: &str = "\
    envd_files envd_filesystem envd_health envd_other envd_process health \
    interpreter_contexts interpreter_execute interpreter_other sandbox_connect \
    sandbox_create sandbox_fork sandbox_info sandbox_kill sandbox_list sandbox_logs \
    sandbox_metrics sandbox_network sandbox_pause sandbox_refresh sandbox_resume \
    sandbox_snapshot sandbox_timeout sandboxes_metrics secret_list snapshot_list \
    template_alias template_delete template_list volume_list";

impl Fault {
    /// A fault that is always injected into all requests.
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
            response: None,
            after_work: false,
            slots: None,
        }
    }

    fn check(&self) -> Result<(), InvalidConfig> {
        let known = |on: &String| {
            GROUPS.contains(&on.as_str()) || REQUESTS.split(' ').any(|request| request == on)
        };
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
        } else if (self.kind == FaultKind::Respond) != self.response.is_some() {
            "needs `response` if its kind is \"respond\", and only then"
        } else if (self.kind == FaultKind::Capacity) != self.slots.is_some() {
            "needs `slots` if its kind is \"capacity\", and only then"
        } else {
            return Ok(());
        };
        Err(InvalidConfig::new(format!("the fault {:?} {problem}", self.name)))
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

    fn is_for_requests(&self) -> bool {
        use FaultKind::{Bare, Cut, Lose, Refuse, Reset, Respond, Slow, Stall};
        matches!(self.kind, Refuse | Reset | Lose | Stall | Cut | Respond | Slow | Bare)
    }

    fn lasting(&self, seconds: u64) -> Duration {
        self.lasting.unwrap_or(Duration::from_secs(seconds))
    }
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
    fn rules_that_are_invalid_are_rejected() {
        let good = || Fault::new("x", FaultKind::Refuse);
        for bad in [
            Fault { rate: 1.5, ..good() },
            Fault { rate: f64::NAN, ..good() },
            Fault { name: String::new(), ..good() },
            Fault { from: secs(2), until: Some(secs(1)), ..good() },
            Fault { every: Some(secs(2)), ..good() },
            Fault { every: Some(secs(2)), until: Some(secs(3)), ..good() },
            Fault { on: vec![String::from("sandbox_craete")], ..good() },
            Fault { kind: FaultKind::Respond, ..good() },
            Fault { response: Some(FaultResponse::Balancer504), ..good() },
            Fault { kind: FaultKind::Capacity, ..good() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(FaultPlan::new(vec![good(); MAX_FAULTS + 1], clock::now()).is_err());
    }
}
