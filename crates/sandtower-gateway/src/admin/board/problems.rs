//! What is wrong, for whom, since when, what the gateway does about it, and what an operator can press.

use std::collections::HashMap;
use std::time::Duration;

use sandtower::circuit_breaker::State;
use sandtower::core::{Reason, Tenant};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::key_limits::KeyLimit;
use super::reading::Reading;
use super::rows::{LimitRow, Top, Totals, not_closed, whole_millis, why};
use crate::recent::cut;
use crate::virtual_keys::StoreState;

/// From which share on a limit is nearly used up.
pub(in crate::admin) const NEARLY: f64 = 0.8;
/// From how long on waiting calls are a warning.
const LONG: Duration = Duration::from_secs(5);
/// The names that a text lists.
const NAMED: usize = 3;
/// The share of the waiting calls of a stack from which on one tenant crowds it, and of how many calls.
const CROWD: (f64, u32) = (0.6, 20);
/// The share of creations that may fail within five minutes, and of how many.
const FAILING: (f32, f32) = (0.05, 10.0);

/// How urgent a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::admin) enum Severity {
    Critical,
    Warning,
    Note,
}

impl Severity {
    pub(in crate::admin) const fn label(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct Problem {
    /// Stays the same as long as the problem does.
    pub(in crate::admin) id: String,
    pub(in crate::admin) severity: Severity,
    pub(in crate::admin) what: String,
    /// The keys or callers that it hurts.
    pub(in crate::admin) whom: String,
    #[serde(rename = "since_ms", serialize_with = "millis")]
    pub(in crate::admin) since: Option<Duration>,
    /// What the gateway does about it.
    pub(in crate::admin) does: String,
    /// What an operator can do.
    pub(in crate::admin) press: Vec<Action>,
}

fn millis<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(whole_millis).serialize(to)
}

/// What an operator can press.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct Action {
    pub(in crate::admin) label: &'static str,
    /// A change to request, by `POST`, or a page to read.
    #[serde(flatten)]
    pub(in crate::admin) target: Target,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::admin) enum Target {
    Post { path: String, body: Value, asks: String },
    Page(&'static str),
}

impl Action {
    pub(in crate::admin) fn post(label: &'static str, path: String, asks: String) -> Self {
        Self { label, target: Target::Post { path, body: json!({}), asks } }
    }

    pub(super) fn page(label: &'static str, path: &'static str) -> Self {
        Self { label, target: Target::Page(path) }
    }
}

/// All that is wrong, the most urgent first.
pub(super) fn of(
    stacks: &[Reading],
    totals: &Totals,
    creations: (f32, f32),
    key_limits: &Top<KeyLimit>,
) -> Vec<Problem> {
    let (data, keys): (Vec<&Reading>, Vec<&Reading>) =
        stacks.iter().partition(|stack| stack.is_data_plane());
    let mut all = Vec::new();
    all.extend(outage("E2B's control plane", &keys));
    all.extend(outage("The way into sandboxes", &data));
    all.extend(forced(stacks));
    all.extend(out_of_sandboxes(&keys));
    all.extend(waiting(stacks));
    all.extend(crowd(&keys));
    all.extend(store(totals));
    all.extend(limits(stacks));
    all.extend(limits_of_keys(key_limits));
    all.extend(failing(creations));
    all.extend(orphans(totals));
    all.extend(super::pools::problems(&keys));
    all.extend(shutdown(totals));
    all.sort_by_key(|problem| problem.severity);
    all
}

/// The first names, and how many there are besides.
pub(super) fn names<'a>(all: impl Iterator<Item = &'a Reading>) -> String {
    let all: Vec<&str> = all.map(|stack| stack.label.as_deref().unwrap_or(&stack.name)).collect();
    let (first, rest) = all.split_at(all.len().min(NAMED));
    let first = first.join(", ");
    if rest.is_empty() { first } else { format!("{first} and {} more keys", rest.len()) }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64().ceil())
}

fn outage(what: &str, stacks: &[&Reading]) -> Option<Problem> {
    let open: Vec<&Reading> = stacks
        .iter()
        .copied()
        .filter(|it| it.breaker.state != State::Closed && !it.breaker.forced && !it.breaker.shadow)
        .collect();
    let first = open.first()?;
    let waits: u32 = open.iter().map(|stack| stack.waits()).sum();
    let rejected: u64 = open.iter().map(|stack| stack.breaker.counters.rejected).sum();
    let is_data_plane = first.is_data_plane();
    let whom = match is_data_plane {
        true => first.label.clone().unwrap_or_else(|| "all callers inside sandboxes".to_owned()),
        false => names(open.iter().copied()),
    };
    let retry_in = open.iter().filter_map(|stack| stack.breaker.retry_in).max();
    let probe = match retry_in.filter(|time| !time.is_zero()) {
        Some(time) => format!("sends the next probe in {}", seconds(time)),
        None => String::from("has a probe under way"),
    };
    let name = if open.len() == 1 { first.name.clone() } else { String::from("all") };
    let asks = format!(
        "Close the circuit breaker ({name}) now and let {waits} waiting calls go to E2B? If it is \
         still down, the breaker opens again."
    );
    Some(Problem {
        id: format!("outage of {}", if is_data_plane { "data plane" } else { "control plane" }),
        severity: Severity::Critical,
        what: format!("{what} fails: circuit breaker {}", state(first)),
        whom: format!("{whom}; {waits} calls wait"),
        since: open.iter().filter_map(|stack| not_closed(stack)).max(),
        does: format!(
            "It holds calls for as long as their clients wait, has rejected or held {rejected}, and \
             {probe}. It closes by itself once probes succeed."
        ),
        press: vec![
            Action::post("Let calls go", format!("/api/v1/breakers/{name}/reset"), asks),
            Action::page("Breakers", "/breakers"),
        ],
    })
}

fn state(stack: &Reading) -> String {
    let breaker = &stack.breaker;
    let evidence = format!("{} of {} calls failed", breaker.recent_failures, breaker.recent_calls);
    match breaker.state {
        State::Open => format!("open ({evidence})"),
        _ => format!("half-open ({evidence}), testing the recovery"),
    }
}

fn forced(stacks: &[Reading]) -> Option<Problem> {
    let forced: Vec<&Reading> = stacks.iter().filter(|stack| stack.breaker.forced).collect();
    let first = forced.first()?;
    let is_closed = first.breaker.state == State::Closed;
    let name = if forced.len() == 1 { first.name.clone() } else { String::from("all") };
    let asks = format!("Release the circuit breaker ({name})?");
    Some(Problem {
        id: String::from("forced breaker"),
        severity: if is_closed { Severity::Warning } else { Severity::Critical },
        what: format!("An operator has forced the circuit breaker {}", first.breaker.state),
        whom: names(forced.iter().copied()),
        since: Some(first.breaker.since),
        does: match is_closed {
            true => {
                String::from("It lets every call through, however many fail, until it is released.")
            }
            false => String::from("It rejects or holds every call until it is released."),
        },
        press: vec![Action::post("Release", format!("/api/v1/breakers/{name}/release"), asks)],
    })
}

fn out_of_sandboxes(keys: &[&Reading]) -> Option<Problem> {
    let out = keys.iter().copied().filter(|stack| stack.quota.out_of_slots_ms.is_some());
    let out: Vec<&Reading> = out.collect();
    let first = out.first()?;
    let longest = out.iter().filter_map(|stack| stack.quota.out_of_slots_ms).max();
    Some(Problem {
        id: String::from("out of sandboxes"),
        severity: Severity::Critical,
        what: format!("E2B grants no more sandboxes: {} in use", first.quota.in_use),
        whom: names(out.iter().copied()),
        since: longest.map(Duration::from_millis),
        does: String::from("It holds creations until a sandbox ends, and probes now and then."),
        press: vec![Action::page("Kill sandboxes", "/sandboxes")],
    })
}

fn waiting(stacks: &[Reading]) -> Option<Problem> {
    // Of an outage there is a problem of its own.
    let is_closed = |stack: &&Reading| stack.breaker.state == State::Closed;
    let mut waits: Vec<&Reading> =
        stacks.iter().filter(is_closed).filter(|stack| stack.waits() > 0).collect();
    waits.sort_by_key(|stack| std::cmp::Reverse(stack.waits()));
    let calls: u32 = waits.iter().map(|stack| stack.waits()).sum();
    let oldest = waits.iter().flat_map(|stack| &stack.waiting).max_by_key(|it| it.longest)?;
    let reason = oldest.held_by.as_ref().map(sandtower::core::Rejection::reason);
    let press = match reason {
        Some(Reason::Full { .. } | Reason::OverLimit { .. }) => {
            vec![Action::page("Change a limit", "/limits"), Action::page("Queues", "/queues")]
        }
        _ => vec![Action::page("Queues", "/queues")],
    };
    Some(Problem {
        id: String::from("waiting calls"),
        severity: if oldest.longest >= LONG { Severity::Warning } else { Severity::Note },
        what: format!(
            "{calls} calls wait, the oldest ({}): {}",
            oldest.operation,
            why(oldest.held_by.as_ref())
        ),
        whom: names(waits.iter().copied()),
        since: Some(oldest.longest),
        does: String::from(
            "It admits them by class and in fair shares, and rejects those that would be late.",
        ),
        press,
    })
}

/// A tenant that has most of the calls that wait in a stack which it shares with others.
fn crowd(keys: &[&Reading]) -> Option<Problem> {
    let mut crowds: Vec<(u32, Tenant, &Reading)> = keys.iter().filter_map(busiest).collect();
    crowds.sort_by_key(|(calls, ..)| std::cmp::Reverse(*calls));
    let (calls, tenant, stack) = *crowds.first()?;
    let name = cut(&stack.handles().tenants.profile(tenant).name);
    let (waits, shared) = (stack.waits(), stack.whose());
    let share = f64::from(calls) / f64::from(waits.max(1)) * 100.0;
    Some(Problem {
        id: format!("crowd of {name}"),
        severity: Severity::Note,
        what: format!("{name} has {share:.0} % of the calls that wait: {calls} of {waits}"),
        whom: format!("the other callers of {}", shared.shown()),
        since: None,
        does: String::from("It admits tenants in fair shares: calls of the others go first."),
        press: vec![Action::page("Halve its limit", "/keys"), Action::page("Queues", "/queues")],
    })
}

fn busiest<'r>(stack: &&'r Reading) -> Option<(u32, Tenant, &'r Reading)> {
    let mut calls: HashMap<Tenant, u32> = HashMap::new();
    stack.waiting.iter().for_each(|it| *calls.entry(it.tenant).or_default() += it.calls);
    let (&tenant, &most) = calls.iter().max_by_key(|(_, calls)| **calls)?;
    let is_crowd = f64::from(most) >= f64::from(stack.waits()) * CROWD.0 && most >= CROWD.1;
    (is_crowd && calls.len() > 1 && tenant != Tenant::ALL).then_some((most, tenant, *stack))
}

fn store(totals: &Totals) -> Option<Problem> {
    (totals.key_store == StoreState::Unavailable).then(|| Problem {
        id: String::from("store of keys"),
        severity: Severity::Critical,
        what: String::from("What virtual keys have used is not written"),
        whom: String::from("callers with virtual keys, if the gateway restarts"),
        since: None,
        does: String::from(
            "It goes on by the limits known, and tries again each second. The log says why.",
        ),
        press: vec![Action::page("Keys", "/keys")],
    })
}

fn limits(stacks: &[Reading]) -> Option<Problem> {
    // Of a key that is out of sandboxes there is a problem already.
    let left = stacks.iter().filter(|stack| stack.quota.out_of_slots_ms.is_none());
    let all = left.flat_map(LimitRow::of);
    let mut used: Vec<LimitRow> =
        all.filter(|row| row.kind != "concurrency" && row.share >= NEARLY).collect();
    used.sort_by(|one, other| other.share.total_cmp(&one.share));
    let first = used.first()?;
    let what = first.operation.unwrap_or("sandboxes");
    let more = if used.len() > 1 {
        format!(", and {} more limits", used.len() - 1)
    } else {
        String::new()
    };
    Some(Problem {
        id: String::from("limits"),
        severity: Severity::Warning,
        what: format!("A limit is nearly used up: {what}, {} of {}{more}", first.used, first.limit),
        whom: first.whose.shown().to_owned(),
        since: None,
        does: String::from("It holds further calls until the limit allows them."),
        press: vec![Action::page("Limits", "/limits")],
    })
}

fn limits_of_keys(nearly: &Top<KeyLimit>) -> Option<Problem> {
    let first = nearly.rows.first()?;
    let names: Vec<&str> = nearly.rows.iter().map(|limit| &*limit.name).collect();
    let more = if nearly.more > 0 { format!(" and {} more", nearly.more) } else { String::new() };
    Some(Problem {
        id: String::from("limits of keys"),
        severity: Severity::Note,
        what: format!(
            "A virtual key has nearly used up its limit: {}, {} of {} {}",
            first.name, first.used, first.limit, first.what
        ),
        whom: format!("{}{more}", names.join(", ")),
        since: None,
        does: String::from("It rejects what is beyond the limit, and leaves other keys alone."),
        press: vec![Action::page("Change a limit", "/keys")],
    })
}

fn failing((started, failed): (f32, f32)) -> Option<Problem> {
    let is_failing = started >= FAILING.1 && failed > started * FAILING.0;
    is_failing.then(|| Problem {
        id: String::from("failing creations"),
        severity: Severity::Warning,
        what: format!("{failed} of {started} creations failed for good within five minutes"),
        whom: String::from("callers that create sandboxes"),
        since: None,
        does: String::from(
            "It retries what is safe to repeat, and kills what a lost response left behind.",
        ),
        press: vec![Action::page("Creations", "/creations"), Action::page("Calls", "/calls")],
    })
}

fn orphans(totals: &Totals) -> Option<Problem> {
    (totals.orphans > 0).then(|| Problem {
        id: String::from("orphans"),
        severity: Severity::Note,
        what: format!("{} orphaned sandboxes are being killed", totals.orphans),
        whom: String::from("no caller"),
        since: None,
        does: String::from("It kills them, and repeats that until it succeeds."),
        press: vec![Action::page("Sandboxes", "/sandboxes")],
    })
}

fn shutdown(totals: &Totals) -> Option<Problem> {
    totals.shuts_down.then(|| Problem {
        id: String::from("shutdown"),
        severity: Severity::Warning,
        what: String::from("The gateway is shutting down"),
        whom: format!("{} connections", totals.connections),
        since: None,
        does: String::from("It accepts no more connections, finishes requests in flight and ends."),
        press: vec![],
    })
}
