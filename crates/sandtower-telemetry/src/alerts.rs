//! The rules, evaluated in the process: pure, the time is an argument.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sandtower_core::Tick;
use serde::Serialize;

use crate::metric::Metric;
use crate::reading::{Series, SeriesValue};
use crate::rules::{Condition, RULES, Rule};

/// How many points of a counter are kept within the time of its condition.
const POINTS: u32 = 60;

/// An alert that fires, or has just been resolved.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Alert {
    /// The name of its rule.
    pub name: &'static str,
    /// `warning` or `critical`.
    pub severity: &'static str,
    /// One sentence on what is wrong.
    pub summary: &'static str,
    /// The address of the section that says what to do.
    pub runbook_url: String,
    /// The labels of the series that it is about: names of sources, layers and operations.
    pub labels: BTreeMap<&'static str, String>,
    /// Whether it fires; if not, it has just been resolved.
    pub firing: bool,
    /// What the condition compared, when it last held.
    pub value: f64,
    /// For how long it has been firing, or was. Serializes as `firing_for_ms`.
    #[serde(rename = "firing_for_ms", serialize_with = "millis")]
    pub firing_for: Duration,
}

fn millis<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

type OwnedLabels = Vec<(&'static str, String)>;

/// A rule and the labels of the series that it is about.
type Key = (usize, OwnedLabels);

#[derive(Debug, Default)]
pub(crate) struct Engine {
    phases: BTreeMap<Key, Phase>,
    /// By the metric, too: a condition may need two counters.
    growth: BTreeMap<(Key, &'static str), Growth>,
}

#[derive(Clone, Copy, Debug)]
struct Phase {
    since: Tick,
    firing: bool,
    /// When the condition last held, and what it compared then.
    held: Tick,
    value: f64,
}

/// How much a counter grew in the last while.
#[derive(Debug)]
struct Growth {
    last: f64,
    total: f64,
    points: VecDeque<(Tick, f64)>,
    seen: Tick,
}

pub(crate) type AllSeries<'a> = [(&'static Metric, Vec<Series<'a>>)];

impl Engine {
    /// Takes in all series as they are at `now`. Returns the alerts that fire from now on, and those
    /// that are resolved.
    pub(crate) fn evaluate(&mut self, all: &AllSeries<'_>, now: Tick) -> Vec<Alert> {
        let mut changes = Vec::new();
        for (index, rule) in RULES.iter().enumerate() {
            for (labels, value, holds) in self.conditions(index, rule, all, now) {
                if holds {
                    let phase = Phase { since: now, firing: false, held: now, value };
                    let phase = self.phases.entry((index, labels.clone())).or_insert(phase);
                    (phase.held, phase.value) = (now, value);
                    if !phase.firing && now.since(phase.since) >= rule.hold {
                        (phase.firing, phase.since) = (true, now);
                        changes.push(alert(rule, &labels, phase, now));
                    }
                }
            }
        }
        self.phases.retain(|(index, labels), phase| {
            let rule = &RULES[*index];
            let stays = phase.held == now || (phase.firing && now.since(phase.held) < rule.keep);
            if !stays && phase.firing {
                changes.push(Alert { firing: false, ..alert(rule, labels, phase, now) });
            }
            stays
        });
        self.growth.retain(|_, growth| growth.seen == now);
        changes
    }

    /// All alerts that fire.
    pub(crate) fn firing(&self, now: Tick) -> Vec<Alert> {
        let firing = self.phases.iter().filter(|(_, phase)| phase.firing);
        firing.map(|((index, labels), phase)| alert(&RULES[*index], labels, phase, now)).collect()
    }

    /// For the labels of each series of the rule: what its condition compares, and whether it holds.
    fn conditions(
        &mut self,
        index: usize,
        rule: &Rule,
        all: &AllSeries<'_>,
        now: Tick,
    ) -> Vec<(OwnedLabels, f64, bool)> {
        match rule.when {
            Condition::Is { metric, only, value } => {
                let chosen = numbers(all, metric).filter_map(|(labels, number)| {
                    Some((without(labels, only)?, number, number == value))
                });
                chosen.collect()
            }
            Condition::Share { of, limit, above } => {
                let limits: BTreeMap<_, _> = numbers(all, limit).collect();
                let shares = numbers(all, of).filter_map(|(labels, number)| {
                    let share = number / limits.get(&labels).filter(|limit| **limit > 0.0)?;
                    Some((labels, share, share > above))
                });
                shares.collect()
            }
            Condition::Grew { metric, within, by_more_than } => {
                let grown = self.grown(index, all, metric, within, now).into_iter();
                grown.map(|(labels, grown)| (labels, grown, grown > by_more_than)).collect()
            }
            Condition::GrewByShare { of, all: whole, within, above, at_least } => {
                let wholes: BTreeMap<_, _> =
                    self.grown(index, all, whole, within, now).into_iter().collect();
                let parts = self.grown(index, all, of, within, now).into_iter();
                let shares = parts.filter_map(|(labels, part)| {
                    let whole = *wholes.get(&labels).filter(|whole| **whole > 0.0)?;
                    let share = part / whole;
                    Some((labels, share, share > above && whole >= at_least))
                });
                shares.collect()
            }
        }
    }

    fn grown(
        &mut self,
        index: usize,
        all: &AllSeries<'_>,
        metric: &'static str,
        within: Duration,
        now: Tick,
    ) -> Vec<(OwnedLabels, f64)> {
        let grown = numbers(all, metric).map(|(labels, value)| {
            let growth = self.growth.entry(((index, labels.clone()), metric));
            let growth = growth.or_insert_with(|| Growth::new(value, now));
            (labels, growth.add(value, within, now))
        });
        grown.collect()
    }
}

impl Growth {
    fn new(value: f64, now: Tick) -> Self {
        Self { last: value, total: 0.0, points: VecDeque::from([(now, 0.0)]), seen: now }
    }

    /// How much it grew within the time that ends now.
    fn add(&mut self, value: f64, within: Duration, now: Tick) -> f64 {
        // A counter that fell has begun again at 0.
        self.total += if value < self.last { value } else { value - self.last };
        (self.last, self.seen) = (value, now);
        let spacing = within / POINTS;
        if self.points.back().is_none_or(|(at, _)| now.since(*at) >= spacing) {
            self.points.push_back((now, self.total));
        }
        // The first point stays the last one at or before the time begins.
        while self.points.get(1).is_some_and(|(at, _)| now.since(*at) >= within) {
            self.points.pop_front();
        }
        self.total - self.points.front().map_or(0.0, |(_, total)| *total)
    }
}

fn numbers<'a>(
    all: &'a AllSeries<'_>,
    metric: &'static str,
) -> impl Iterator<Item = (OwnedLabels, f64)> + 'a {
    let series = all.iter().filter(move |(it, _)| it.name == metric).flat_map(|(_, series)| series);
    series.filter_map(|series| {
        let SeriesValue::Number(value) = series.value else { return None };
        let labels = series.labels.iter();
        Some((labels.map(|(label, value)| (*label, (*value).to_owned())).collect(), value))
    })
}

/// The labels but for the chosen one; `None`: another value of it.
fn without(mut labels: OwnedLabels, only: Option<(&str, &str)>) -> Option<OwnedLabels> {
    if let Some((label, value)) = only {
        let at = labels.iter().position(|it| it.0 == label && it.1 == value)?;
        labels.remove(at);
    }
    Some(labels)
}

fn alert(rule: &Rule, labels: &OwnedLabels, phase: &Phase, now: Tick) -> Alert {
    Alert {
        name: rule.name,
        severity: rule.severity.label(),
        summary: rule.summary,
        runbook_url: rule.runbook_url(),
        labels: labels.iter().cloned().collect(),
        firing: phase.firing,
        value: phase.value,
        firing_for: now.since(phase.since),
    }
}
