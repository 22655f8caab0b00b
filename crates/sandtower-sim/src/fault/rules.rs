//! The fault plan: which of its rules hold for a request or a creation.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{Fault, FaultKind, FaultResponse, InvalidConfig, MAX_FAULTS};
use crate::dice::{Subject, dice, happens};

/// The rules, and how often each was injected.
pub(crate) struct FaultPlan {
    rules: Vec<Fault>,
    set_at: Instant,
    counts: BTreeMap<String, u64>,
    drawn: u64,
}

/// The faults of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Injected {
    pub(crate) breaks: Option<Break>,
    pub(crate) slow: Duration,
    pub(crate) bare: bool,
}

/// What a request gets in place of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    Refuse,
    Reset,
    Lose,
    Stall { lasting: Duration, after_work: bool },
    Cut,
    Respond { response: FaultResponse, lasting: Duration, after_work: bool },
}

/// The faults of one creation.
#[derive(Clone, Debug, Default)]
pub(crate) struct InjectedCreation {
    pub(crate) commits_late: Option<Duration>,
    pub(crate) zombie: bool,
    pub(crate) dies: Option<Duration>,
    pub(crate) lags: Duration,
}

impl FaultPlan {
    pub(crate) fn new(rules: Vec<Fault>, now: Instant) -> Result<Self, InvalidConfig> {
        if rules.len() > MAX_FAULTS {
            let name = rules[MAX_FAULTS].name.clone();
            return Err(InvalidConfig::new(format!(
                "the fault {name:?} is one too many: 64 are allowed"
            )));
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

    /// Draws the faults of a request.
    pub(crate) fn inject(&mut self, seed: u64, request: &str, now: Instant) -> Injected {
        let mut injected = Injected::default();
        if self.rules.is_empty() {
            return injected;
        }
        self.drawn += 1;
        let mut dice = dice(seed, Subject::Fault, self.drawn);
        let since = now.saturating_duration_since(self.set_at);
        for rule in &self.rules {
            // Each rule draws whether it holds or not, so that one more changes no other.
            let happens = happens(&mut dice, rule.rate);
            if !happens || !rule.is_for_requests() || !rule.is_time(since) || !rule.is_on(request) {
                continue;
            }
            let breaks = match rule.kind {
                FaultKind::Slow => {
                    injected.slow = injected.slow.saturating_add(rule.lasting(1));
                    None
                }
                FaultKind::Bare => {
                    injected.bare = true;
                    None
                }
                _ if injected.breaks.is_some() => continue,
                FaultKind::Refuse => Some(Break::Refuse),
                FaultKind::Reset => Some(Break::Reset),
                FaultKind::Lose => Some(Break::Lose),
                FaultKind::Cut => Some(Break::Cut),
                FaultKind::Stall => {
                    let after_work = rule.after_work;
                    Some(Break::Stall { lasting: rule.lasting(60), after_work })
                }
                _ => rule.response.map(|response| {
                    let after_work = rule.after_work;
                    Break::Respond { response, lasting: rule.lasting(0), after_work }
                }),
            };
            injected.breaks = injected.breaks.or(breaks);
            *self.counts.entry(rule.name.clone()).or_default() += 1;
        }
        injected
    }

    /// Draws the faults of a creation.
    pub(crate) fn inject_creation(
        &mut self,
        seed: u64,
        creation: u64,
        now: Instant,
    ) -> InjectedCreation {
        let mut injected = InjectedCreation::default();
        if self.rules.is_empty() {
            return injected;
        }
        let mut dice = dice(seed, Subject::CreationFault, creation);
        let since = now.saturating_duration_since(self.set_at);
        for rule in &self.rules {
            let happens = happens(&mut dice, rule.rate);
            if !happens || !rule.is_time(since) {
                continue;
            }
            match rule.kind {
                FaultKind::LateCommit => injected.commits_late = Some(rule.lasting(5)),
                FaultKind::Zombie => injected.zombie = true,
                FaultKind::Die => injected.dies = Some(rule.lasting(10)),
                FaultKind::Lag => injected.lags = rule.lasting(5),
                _ => continue,
            }
            *self.counts.entry(rule.name.clone()).or_default() += 1;
        }
        injected
    }

    /// How many sandboxes may run, if fewer than usual.
    pub(crate) fn slots(&self, now: Instant) -> Option<u32> {
        let since = now.saturating_duration_since(self.set_at);
        self.rules.iter().filter(|rule| rule.is_time(since)).filter_map(|rule| rule.slots).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn one_more_rule_changes_no_other() {
        let half = |name| Fault { rate: 0.5, ..Fault::new(name, FaultKind::Bare) };
        let drawn = |rules| {
            let mut faults = FaultPlan::new(rules, clock::now()).unwrap();
            for _ in 0..100 {
                faults.inject(7, "sandbox_list", clock::now());
            }
            faults.counts().remove("a")
        };
        assert_eq!(drawn(vec![half("a")]), drawn(vec![half("a"), half("b")]));
    }
}
