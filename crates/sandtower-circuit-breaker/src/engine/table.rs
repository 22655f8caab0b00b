//! The whole transition table, state by event.

use std::fmt::Write as _;

use sandtower_core::Effect;

use super::*;

const SETTINGS: Settings = Settings {
    rule: Rule::consecutive(2),
    open: OpenTime {
        first: Duration::from_secs(10),
        most: Duration::from_secs(20),
        jitter: false,
        longest: Duration::from_secs(30),
    },
    stable: Duration::from_secs(60),
    probes: 1,
    successes: 1,
    ramp: 2,
    lease: Duration::from_secs(5),
    expected: Duration::from_secs(3),
};

fn at(seconds: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(seconds)
}

/// An engine in some state at second 100.
struct Case {
    engine: Engine,
    /// Acquired in this state at second 100, if any was.
    permit: Option<Permit>,
    /// Acquired by another attempt, in an earlier generation.
    old: Permit,
}

const FAILURE: Verdict = Verdict::transient(Effect::None);

impl Case {
    fn closed() -> Self {
        let mut engine = Engine::new(SETTINGS, Rng::with_seed(0), at(0));
        let (old, _) = engine.try_acquire(&at(0).into()).unwrap();
        let _ = engine.reset(at(1));
        let (permit, _) = engine.try_acquire(&at(100).into()).unwrap();
        Self { engine, permit: Some(permit), old }
    }

    fn closed_after_a_failure() -> Self {
        let mut case = Self::closed();
        case.fail(at(100));
        case
    }

    /// Open since second `since`.
    fn open_since(since: u64) -> Self {
        let mut case = Self::closed();
        case.fail(at(since));
        case.fail(at(since));
        Self { permit: None, ..case }
    }

    fn open() -> Self {
        Self::open_since(100)
    }

    fn open_for_long_enough() -> Self {
        Self::open_since(90)
    }

    fn half_open_and_probing() -> Self {
        let mut case = Self::open_for_long_enough();
        let (permit, _) = case.engine.try_acquire(&at(100).into()).unwrap();
        Self { permit: Some(permit), ..case }
    }

    fn half_open_and_idle() -> Self {
        let mut case = Self::half_open_and_probing();
        if let Some(permit) = case.permit.take() {
            let _ =
                case.engine.record(&RequestInfo::default(), permit, &Completion::not_sent(at(100)));
        }
        case
    }

    /// Closed since second 100, with one of two slots taken.
    fn ramping() -> Self {
        let mut case = Self::half_open_and_probing();
        if let Some(permit) = case.permit.take() {
            let success = Completion::new(Verdict::success(), at(100), at(100));
            let _ = case.engine.record(&RequestInfo::default(), permit, &success);
        }
        let (permit, _) = case.engine.try_acquire(&at(100).into()).unwrap();
        Self { permit: Some(permit), ..case }
    }

    /// The same, with both slots taken.
    fn ramping_and_full() -> Self {
        let mut case = Self::ramping();
        let _ = case.engine.try_acquire(&at(100).into()).unwrap();
        case
    }

    /// The same, after a call was turned away.
    fn waited_for(mut self) -> Self {
        assert!(self.engine.check(&at(100).into()).is_some());
        self
    }

    /// The same, with one response still to come until every call is let through.
    fn ramping_up() -> Self {
        let mut case = Self::ramping_and_full();
        if let Some(permit) = case.permit.take() {
            let success = Completion::new(Verdict::success(), at(100), at(100));
            let _ = case.engine.record(&RequestInfo::default(), permit, &success);
        }
        let (permit, _) = case.engine.try_acquire(&at(100).into()).unwrap();
        Self { permit: Some(permit), ..case }
    }

    fn forced_open() -> Self {
        let mut case = Self::closed();
        let _ = case.engine.force_open(at(100));
        Self { permit: None, ..case }
    }

    fn forced_closed() -> Self {
        let mut case = Self::closed();
        let _ = case.engine.force_closed(at(100));
        let (permit, _) = case.engine.try_acquire(&at(100).into()).unwrap();
        Self { permit: Some(permit), ..case }
    }

    fn fail(&mut self, now: Tick) {
        let (permit, _) = self.engine.try_acquire(&now.into()).unwrap();
        let _ = self.engine.record(
            &RequestInfo::default(),
            permit,
            &Completion::new(FAILURE, now, now),
        );
    }

    /// The state at `now`: with failures of calls where it keeps count, `probing` if no other probe
    /// may go, `probe due` if one may.
    fn describe(&self, now: Tick) -> String {
        let Tally { failed, of, .. } = self.engine.tally;
        match (self.engine.phase, self.engine.state(now)) {
            (Phase::ForcedOpen, _) => "forced open".to_owned(),
            (Phase::ForcedClosed, _) => format!("forced closed {failed}/{of}"),
            (Phase::Ramp { succeeded }, _) => {
                let (out, slots) = (self.engine.leases.taken(now), self.engine.leases.slots());
                format!("ramping up, {succeeded} came back, {out} of {slots} out, {failed}/{of}")
            }
            (_, State::Closed) => format!("closed {failed}/{of}"),
            (_, State::Open) => format!("open {failed}/{of}"),
            (_, State::HalfOpen) if self.engine.look(&now.into()).is_some() => {
                format!("probing {failed}/{of}")
            }
            (_, State::HalfOpen) => format!("probe due {failed}/{of}"),
        }
    }
}

/// How to get there.
type Path = fn() -> Case;

const STATES: [(&str, Path); 13] = [
    ("closed", Case::closed),
    ("closed, one failure short of opening", Case::closed_after_a_failure),
    ("open", Case::open),
    ("open, its time is over", Case::open_for_long_enough),
    ("half-open, its probe is out", Case::half_open_and_probing),
    ("half-open, a call waits", || Case::half_open_and_probing().waited_for()),
    ("half-open, its probe was not sent", Case::half_open_and_idle),
    ("ramping up, none came back", Case::ramping),
    ("ramping up, as many out as may be", Case::ramping_and_full),
    ("ramping up, a call waits", || Case::ramping_and_full().waited_for()),
    ("ramping up, one response short of its end", Case::ramping_up),
    ("forced open", Case::forced_open),
    ("forced closed", Case::forced_closed),
];

/// What happens at second 101 to what was sent at second 100, unless it tells otherwise.
enum Event {
    Acquire,
    NotSent,
    Verdict(Verdict),
    /// Of the attempt sent in second 100, at this second.
    VerdictAt(u64, Verdict),
    /// Of the attempt of an older generation.
    Old(Verdict),
    NotReady(Verdict),
    Second(u64),
    Operator(fn(&mut Engine, Tick) -> Option<Change>),
}

const EVENTS: [(&str, Event); 23] = [
    ("try_acquire", Event::Acquire),
    ("not sent", Event::NotSent),
    ("success", Event::Verdict(Verdict::success())),
    ("permanent", Event::Verdict(Verdict::permanent())),
    ("exhausted", Event::Verdict(Verdict::exhausted())),
    ("transient", Event::Verdict(FAILURE)),
    ("unknown", Event::Verdict(Verdict::unknown())),
    ("throttled", Event::Verdict(Verdict::throttled())),
    ("rejected below", Event::Verdict(Verdict::rejected())),
    ("cancelled early", Event::Verdict(Verdict::cancelled())),
    ("cancelled late", Event::VerdictAt(103, Verdict::cancelled())),
    ("success, lease over", Event::VerdictAt(105, Verdict::success())),
    ("failure, lease over", Event::VerdictAt(105, FAILURE)),
    ("old success", Event::Old(Verdict::success())),
    ("old failure", Event::Old(FAILURE)),
    ("not ready", Event::NotReady(Verdict::unknown())),
    ("not ready, rejected", Event::NotReady(Verdict::rejected())),
    ("lease over", Event::Second(105)),
    ("open time over", Event::Second(110)),
    ("reset", Event::Operator(|engine, now| Some(engine.reset(now)))),
    ("force open", Event::Operator(|engine, now| Some(engine.force_open(now)))),
    ("force closed", Event::Operator(|engine, now| Some(engine.force_closed(now)))),
    ("release", Event::Operator(Engine::release)),
];

/// What becomes of `case`; `None` if the event cannot happen to it.
fn outcome(mut case: Case, event: &Event) -> Option<String> {
    let engine = &mut case.engine;
    let mut now = at(101);
    let mut record = |permit, now: Tick, verdict| {
        engine.record(&RequestInfo::default(), permit, &Completion::new(verdict, at(100), now))
    };
    let change = match *event {
        Event::Verdict(verdict) => record(case.permit.take()?, now, verdict),
        Event::VerdictAt(second, verdict) => {
            now = at(second);
            record(case.permit.take()?, now, verdict)
        }
        Event::Old(verdict) => record(case.old, now, verdict),
        Event::NotSent => {
            engine.record(&RequestInfo::default(), case.permit.take()?, &Completion::not_sent(now))
        }
        Event::Acquire => {
            let said = match engine.try_acquire(&now.into()) {
                Ok((Permit { lease: None, .. }, _)) => "yes".to_owned(),
                Ok(_) if engine.state(now) == State::HalfOpen => "a probe".to_owned(),
                Ok(_) => "yes, leased".to_owned(),
                Err(Denied::Open { until: None, .. }) => "closed".to_owned(),
                Err(Denied::Open { until: Some(until), .. }) => {
                    format!("closed for {:?}", until.since(now))
                }
                Err(Denied::Full { expected, expires, .. }) => {
                    format!("wait {:?}, at most {:?}", expected.since(now), expires.since(now))
                }
            };
            return Some(format!("{}: {said}", describe(case.engine, now)));
        }
        Event::NotReady(verdict) => engine.not_ready(verdict, now),
        Event::Operator(act) => act(engine, now),
        Event::Second(second) => {
            now = at(second);
            None
        }
    };
    let notified = if change.is_some() { ", notified" } else { "" };
    Some(format!("{}{notified}", describe(case.engine, now)))
}

fn describe(engine: Engine, now: Tick) -> String {
    let old = Permit { generation: 0, lease: None };
    Case { engine, permit: None, old }.describe(now)
}

fn table() -> String {
    let mut table = String::new();
    for (name, state) in STATES {
        let _ = writeln!(table, "{name}");
        for (name, event) in &EVENTS {
            if let Some(outcome) = outcome(state(), event) {
                let _ = writeln!(table, "    {name:<20} -> {outcome}");
            }
        }
    }
    table
}

/// `notified` marks what subscribers are notified of. Regenerate by pasting what the failing test prints, and
/// account for every line that changed.
#[test]
fn every_event_in_every_state_leads_where_the_table_says() {
    let table = table();
    assert!(table == include_str!("table.txt"), "the table is now:\n{table}");
}
