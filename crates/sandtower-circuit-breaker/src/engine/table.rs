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
    /// Handed out in this state at second 100, if any was.
    token: Option<Token>,
    /// Handed out to another attempt, in an earlier generation.
    old: Token,
}

const FAILURE: Verdict = Verdict::transient(Effect::None);

impl Case {
    fn closed() -> Self {
        let mut engine = Engine::new(SETTINGS, Rng::with_seed(0), at(0));
        let (old, _) = engine.take(at(0)).unwrap();
        let _ = engine.reset(at(1));
        let (token, _) = engine.take(at(100)).unwrap();
        Self { engine, token: Some(token), old }
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
        Self { token: None, ..case }
    }

    fn open() -> Self {
        Self::open_since(100)
    }

    fn open_for_long_enough() -> Self {
        Self::open_since(90)
    }

    fn half_open_and_probing() -> Self {
        let mut case = Self::open_for_long_enough();
        let (token, _) = case.engine.take(at(100)).unwrap();
        Self { token: Some(token), ..case }
    }

    fn half_open_and_idle() -> Self {
        let mut case = Self::half_open_and_probing();
        if let Some(token) = case.token.take() {
            case.engine.give_back(token);
        }
        case
    }

    /// Closed since second 100, with one of two places taken.
    fn ramping() -> Self {
        let mut case = Self::half_open_and_probing();
        if let Some(token) = case.token.take() {
            let success = Completion::new(Verdict::success(), at(100), at(100));
            let _ = case.engine.settle(token, &success);
        }
        let (token, _) = case.engine.take(at(100)).unwrap();
        Self { token: Some(token), ..case }
    }

    /// The same, with both places taken.
    fn ramping_and_full() -> Self {
        let mut case = Self::ramping();
        let _ = case.engine.take(at(100)).unwrap();
        case
    }

    /// The same, with one answer still to come until everyone is let through.
    fn ramping_up() -> Self {
        let mut case = Self::ramping_and_full();
        if let Some(token) = case.token.take() {
            let success = Completion::new(Verdict::success(), at(100), at(100));
            let _ = case.engine.settle(token, &success);
        }
        let (token, _) = case.engine.take(at(100)).unwrap();
        Self { token: Some(token), ..case }
    }

    fn forced_open() -> Self {
        let mut case = Self::closed();
        let _ = case.engine.force_open(at(100));
        Self { token: None, ..case }
    }

    fn forced_closed() -> Self {
        let mut case = Self::closed();
        let _ = case.engine.force_closed(at(100));
        let (token, _) = case.engine.take(at(100)).unwrap();
        Self { token: Some(token), ..case }
    }

    fn fail(&mut self, now: Tick) {
        let (token, _) = self.engine.take(now).unwrap();
        let _ = self.engine.settle(token, &Completion::new(FAILURE, now, now));
    }

    /// The state at `now`: with failures of calls where it keeps count, `probing` if no other probe
    /// may go, `probe due` if one may.
    fn describe(&self, now: Tick) -> String {
        let Tally { failed, of, .. } = self.engine.tally;
        match (self.engine.phase, self.engine.state(now)) {
            (Phase::ForcedOpen, _) => "forced open".to_owned(),
            (Phase::ForcedClosed, _) => format!("forced closed {failed}/{of}"),
            (Phase::Ramp { succeeded }, _) => {
                let (out, places) = (self.engine.leases.taken(now), self.engine.leases.places());
                format!("ramping up, {succeeded} came back, {out} of {places} out, {failed}/{of}")
            }
            (_, State::Closed) => format!("closed {failed}/{of}"),
            (_, State::Open) => format!("open {failed}/{of}"),
            (_, State::HalfOpen) if self.engine.look(now).is_some() => {
                format!("probing {failed}/{of}")
            }
            (_, State::HalfOpen) => format!("probe due {failed}/{of}"),
        }
    }
}

/// How to get there.
type Path = fn() -> Case;

const STATES: [(&str, Path); 11] = [
    ("closed", Case::closed),
    ("closed, one failure short of opening", Case::closed_after_a_failure),
    ("open", Case::open),
    ("open, its time is over", Case::open_for_long_enough),
    ("half-open, its probe is out", Case::half_open_and_probing),
    ("half-open, its probe was given back", Case::half_open_and_idle),
    ("ramping up, none came back", Case::ramping),
    ("ramping up, as many out as may be", Case::ramping_and_full),
    ("ramping up, one answer short of its end", Case::ramping_up),
    ("forced open", Case::forced_open),
    ("forced closed", Case::forced_closed),
];

/// What happens at second 101 to what was sent at second 100, unless it tells otherwise.
enum Event {
    Take,
    GiveBack,
    Verdict(Verdict),
    /// Of the attempt sent in second 100, at this second.
    VerdictAt(u64, Verdict),
    /// Of the attempt of an older generation.
    Old(Verdict),
    Unready(Verdict),
    Second(u64),
    Operator(fn(&mut Engine, Tick) -> Option<Change>),
}

const EVENTS: [(&str, Event); 23] = [
    ("take", Event::Take),
    ("given back", Event::GiveBack),
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
    ("not ready", Event::Unready(Verdict::unknown())),
    ("not ready, rejected", Event::Unready(Verdict::rejected())),
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
    let mut settle =
        |token, now, verdict| engine.settle(token, &Completion::new(verdict, at(100), now));
    let change = match *event {
        Event::Verdict(verdict) => settle(case.token.take()?, now, verdict),
        Event::VerdictAt(second, verdict) => {
            now = at(second);
            settle(case.token.take()?, now, verdict)
        }
        Event::Old(verdict) => settle(case.old, now, verdict),
        Event::GiveBack => {
            engine.give_back(case.token.take()?);
            None
        }
        Event::Take => {
            let said = match engine.take(now) {
                Ok((Token { lease: None, .. }, _)) => "yes".to_owned(),
                Ok(_) if engine.state(now) == State::HalfOpen => "a probe".to_owned(),
                Ok(_) => "yes, leased".to_owned(),
                Err(No { at: Tick::MAX, .. }) => "no".to_owned(),
                Err(no) => format!("no for {:?}", no.at.since(now)),
            };
            return Some(format!("{}: {said}", describe(case.engine, now)));
        }
        Event::Unready(verdict) => engine.unready(verdict, now),
        Event::Operator(act) => act(engine, now),
        Event::Second(second) => {
            now = at(second);
            None
        }
    };
    let told = if change.is_some() { ", told" } else { "" };
    Some(format!("{}{told}", describe(case.engine, now)))
}

fn describe(engine: Engine, now: Tick) -> String {
    let old = Token::free(0);
    Case { engine, token: None, old }.describe(now)
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

/// `told` marks what watchers are told of. Regenerate by pasting what the failing test prints, and
/// account for every line that changed.
#[test]
fn every_event_in_every_state_leads_where_the_table_says() {
    let table = table();
    assert_eq!(table, include_str!("table.txt"), "the table is now:\n{table}");
}
