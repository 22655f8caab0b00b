//! All pairs of a regime and an event.

use std::fmt::Write;

use super::*;

/// What an engine went through before.
type History = fn(&mut Engine) -> Vec<Attempt>;

const NOW: Tick = Tick::from_nanos(1_000_000_000_000);

fn go(engine: &mut Engine) -> Attempt {
    engine.try_acquire(NOW + Duration::from_secs(3_600)).unwrap()
}

fn grant(engine: &mut Engine) {
    let attempt = go(engine);
    let _ = engine.record(attempt, Outcome::Granted, NOW);
}

/// One slot is in use, and the service is out of slots.
fn exhaust(engine: &mut Engine) {
    grant(engine);
    let attempt = go(engine);
    let _ = engine.record(attempt, Outcome::Exhausted, NOW);
}

/// Before each regime, what is under way: at the last an attempt that the event is about.
const REGIMES: [(&str, Option<u32>, History); 8] = [
    ("unlimited", None, |engine| vec![go(engine)]),
    ("counting", Some(2), |engine| vec![go(engine)]),
    ("counting, at the limit", Some(1), |engine| {
        grant(engine);
        vec![go(engine)]
    }),
    ("exhausted", None, |engine| {
        exhaust(engine);
        let _ = engine.release(1);
        vec![go(engine)]
    }),
    ("exhausted, the probe", None, |engine| {
        exhaust(engine);
        vec![go(engine)]
    }),
    ("exhausted, an old attempt", None, |engine| {
        let old = go(engine);
        exhaust(engine);
        vec![old]
    }),
    ("recovering", None, |engine| {
        exhaust(engine);
        grant(engine);
        let _ = engine.release(1);
        vec![go(engine)]
    }),
    ("recovering, the probe", None, |engine| {
        exhaust(engine);
        grant(engine);
        vec![go(engine)]
    }),
];

/// What happens, to that attempt or not.
type Event = (&'static str, fn(&mut Engine, Attempt));

const EVENTS: [Event; 6] = [
    ("granted", |engine, attempt| _ = engine.record(attempt, Outcome::Granted, NOW)),
    ("exhausted", |engine, attempt| _ = engine.record(attempt, Outcome::Exhausted, NOW)),
    ("other", |engine, attempt| _ = engine.record(attempt, Outcome::Other, NOW)),
    ("not sent", |engine, attempt| _ = engine.record(attempt, Outcome::NotSent, NOW)),
    ("release", |engine, _| _ = engine.release(1)),
    ("reset", |engine, _| _ = engine.reset(None)),
];

fn shown(engine: &Engine) -> String {
    let in_use = engine.in_use;
    let next = match engine.probe {
        _ if engine.has_room() => "room",
        Probe::Out { .. } => "a probe is out",
        Probe::Due(_) if engine.opens_at() == Tick::ZERO => "a probe may go",
        Probe::Due(_) => "a probe is due later",
    };
    match engine.regime {
        Regime::Unlimited => format!("unlimited {in_use}, {next}"),
        Regime::Counting { limit } => format!("counting {in_use}/{limit}, {next}"),
        Regime::Exhausted { limit, free, failures, .. } => {
            format!("exhausted {in_use}/{limit}, {free} free, {failures} failed, {next}")
        }
        Regime::Recovering { limit, unseen, responses } => {
            format!("recovering {in_use}/{limit}, {unseen} unseen, {responses} steps, {next}")
        }
    }
}

#[test]
fn every_event_in_every_regime_leads_where_the_table_says() {
    let mut table = String::new();
    for (name, limit, history) in REGIMES {
        let pauses = Backoff::exponential(Duration::from_secs(5), Duration::from_secs(60));
        let terms = Terms { limit, probe: pauses, lease: Duration::from_secs(61) };
        let mut engine = Engine::new(terms, Rng::with_seed(1));
        let attempt = history(&mut engine).pop().unwrap();
        writeln!(table, "{name}: {}", shown(&engine)).unwrap();
        for (event, apply) in EVENTS {
            let mut engine = engine.clone();
            apply(&mut engine, attempt);
            writeln!(table, "  {event:<10}{}", shown(&engine)).unwrap();
        }
    }
    assert_eq!(table, TABLE, "\n{table}");
}

const TABLE: &str = "\
unlimited: unlimited 0, room
  granted   unlimited 1, room
  exhausted exhausted 0/0, 0 free, 0 failed, a probe is due later
  other     unlimited 0, room
  not sent  unlimited 0, room
  release   unlimited 0, room
  reset     unlimited 0, room
counting: counting 0/2, room
  granted   counting 1/2, room
  exhausted exhausted 0/0, 0 free, 0 failed, a probe is due later
  other     counting 0/2, room
  not sent  counting 0/2, room
  release   counting 0/2, room
  reset     unlimited 0, room
counting, at the limit: counting 1/1, a probe is out
  granted   recovering 1/1, 0 unseen, 1 steps, a probe may go
  exhausted exhausted 1/1, 0 free, 0 failed, a probe is due later
  other     counting 1/1, a probe may go
  not sent  counting 1/1, a probe may go
  release   counting 0/1, a probe is out
  reset     unlimited 0, room
exhausted: exhausted 0/1, 0 free, 0 failed, a probe is due later
  granted   exhausted 1/1, 0 free, 0 failed, a probe is due later
  exhausted exhausted 0/0, 0 free, 0 failed, a probe is due later
  other     exhausted 0/1, 1 free, 0 failed, room
  not sent  exhausted 0/1, 1 free, 0 failed, room
  release   exhausted 0/2, 1 free, 0 failed, room
  reset     unlimited 0, room
exhausted, the probe: exhausted 1/1, 0 free, 0 failed, a probe is out
  granted   recovering 1/1, 0 unseen, 1 steps, a probe may go
  exhausted exhausted 1/1, 0 free, 1 failed, a probe is due later
  other     exhausted 1/1, 0 free, 0 failed, a probe is due later
  not sent  exhausted 1/1, 0 free, 0 failed, a probe may go
  release   exhausted 0/1, 1 free, 0 failed, room
  reset     unlimited 0, room
exhausted, an old attempt: exhausted 1/1, 0 free, 0 failed, a probe is due later
  granted   exhausted 2/2, 0 free, 0 failed, a probe is due later
  exhausted exhausted 1/1, 0 free, 0 failed, a probe is due later
  other     exhausted 1/1, 0 free, 0 failed, a probe is due later
  not sent  exhausted 1/1, 0 free, 0 failed, a probe is due later
  release   exhausted 0/1, 1 free, 0 failed, room
  reset     unlimited 0, room
recovering: recovering 0/1, 0 unseen, 1 steps, a probe may go
  granted   recovering 1/1, 0 unseen, 2 steps, a probe may go
  exhausted exhausted 0/0, 0 free, 0 failed, a probe is due later
  other     recovering 0/1, 0 unseen, 1 steps, room
  not sent  recovering 0/1, 0 unseen, 1 steps, room
  release   recovering 0/1, 0 unseen, 1 steps, a probe may go
  reset     unlimited 0, room
recovering, the probe: recovering 1/1, 0 unseen, 1 steps, a probe is out
  granted   recovering 2/2, 1 unseen, 2 steps, room
  exhausted exhausted 1/1, 0 free, 0 failed, a probe is due later
  other     recovering 1/1, 0 unseen, 1 steps, a probe may go
  not sent  recovering 1/1, 0 unseen, 1 steps, a probe may go
  release   recovering 0/1, 0 unseen, 1 steps, a probe is out
  reset     unlimited 0, room
";
