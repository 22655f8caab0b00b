//! What the rate limit tells through `tracing`: alone in its binary, since whether an event is heard
//! is cached for the whole process, and tests that do not listen would turn it off.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_core::{Asked, Gate, Operation, Settlement, Take, Tick, Verdict};
use sandtower_rate_limit::{Config, RateLimit, Token};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

const CREATE: Operation = Operation::new(1, "sandbox_create");

#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

impl<S: tracing::Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sandtower::rate_limit" {
            let mut fields = Fields::default();
            event.record(&mut fields);
            fields.0.insert("level".into(), event.metadata().level().to_string());
            self.0.lock().unwrap().push(fields.0);
        }
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
}

/// The events during `work`, each as the values of these fields.
fn told<const N: usize>(fields: [&str; N], work: impl FnOnce()) -> Vec<[String; N]> {
    let events = Events::default();
    let subscriber = tracing_subscriber::registry().with(events.clone());
    tracing::subscriber::with_default(subscriber, work);
    let events = events.0.lock().unwrap();
    events.iter().map(|event| fields.map(|field| event[field].clone())).collect()
}

fn take(gate: &RateLimit, now: Tick) -> Token {
    match gate.take(&Asked::new(CREATE), now) {
        Take::Open(token) => token,
        other => panic!("{other:?}"),
    }
}

fn send(gate: &RateLimit, now: Tick, verdict: Verdict) {
    let token = take(gate, now);
    gate.settle(&Asked::new(CREATE), token, &Settlement::new(verdict, now, now));
}

fn at(seconds: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(seconds)
}

#[test]
fn a_limit_warns_once_at_eighty_percent_and_once_when_it_is_reached() {
    let told = told(["level", "name", "operation", "count", "limit", "percent"], || {
        let gate = RateLimit::original();
        (0..150).for_each(|second| send(&gate, at(second), Verdict::success()));
    });
    assert_eq!(
        told,
        [
            ["WARN", "E2B", "sandbox_create", "80", "100", "80"],
            ["WARN", "E2B", "sandbox_create", "100", "100", "100"],
        ]
    );
}

#[test]
fn every_new_rise_warns_again_even_if_nothing_was_answered_in_between() {
    let told = told(["count"], || {
        let gate = RateLimit::new(Config::new("E2B").limit(CREATE, 5).warn_at([80])).unwrap();
        (0..5).for_each(|_| send(&gate, at(0), Verdict::success()));
        let together: Vec<_> = (0..5).map(|_| take(&gate, at(10_000))).collect();
        for token in together {
            let settlement = Settlement::new(Verdict::success(), at(10_000), at(10_001));
            gate.settle(&Asked::new(CREATE), token, &settlement);
        }
    });
    assert_eq!(told, [["4"], ["5"]]);
}

#[test]
fn what_was_never_sent_warns_of_nothing() {
    let told = told(["count"], || {
        let gate = RateLimit::new(Config::new("E2B").limit(CREATE, 1)).unwrap();
        (0..100).for_each(|_| gate.give_back(&Asked::new(CREATE), take(&gate, at(0))));
    });
    assert_eq!(told, Vec::<[String; 1]>::new());
}

#[test]
fn a_server_that_keeps_throttling_is_told_of_once_for_each_hold() {
    let told = told(["level", "operation", "held_ms"], || {
        let gate = RateLimit::new(Config::new("E2B")).unwrap();
        for second in [0, 0, 1, 20] {
            send(&gate, at(second), Verdict::throttled().retry_after(Duration::from_secs(4)));
        }
    });
    assert_eq!(told, [["INFO", "sandbox_create", "5000"], ["INFO", "sandbox_create", "5000"]]);
}
