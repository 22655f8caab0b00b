//! What the rate limit tells through `tracing`: alone in its binary, since whether an event is heard
//! is cached for the whole process, and tests that do not listen would turn it off.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_core::{Clock, Completion, Gate, Operation, RequestInfo, Take, Tick, Verdict};
use sandtower_rate_limit::{Config, Entry, FileStore, RateLimit, Store, Token};
use sandtower_time::TokioClock;
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
    match gate.take(&RequestInfo::new(CREATE), now) {
        Take::Open(token) => token,
        other => panic!("{other:?}"),
    }
}

fn send(gate: &RateLimit, now: Tick, verdict: Verdict) {
    let token = take(gate, now);
    gate.settle(&RequestInfo::new(CREATE), token, &Completion::new(verdict, now, now));
}

/// What a limit tells that begins with a file of these bytes, as the values of these fields; it
/// works whatever they are.
fn told_of<const N: usize>(fields: [&str; N], name: &str, bytes: &[u8]) -> Vec<[String; N]> {
    let path = std::env::temp_dir().join(format!("sandtower-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let told = told(fields, || {
        let store = || Arc::new(FileStore::new(&path, Duration::from_secs(3_600)));
        let limit = RateLimit::with_store(Config::new("E2B"), store()).unwrap();
        let before = limit.stats().total;
        send(&limit, TokioClock.now(), Verdict::success());
        drop(limit);
        let again = RateLimit::with_store(Config::new("E2B"), store()).unwrap();
        assert_eq!(again.stats().total, before + 1);
    });
    let _ = std::fs::remove_file(path.with_extension("corrupt"));
    let _ = std::fs::remove_file(&path);
    told
}

#[test]
fn a_corrupted_file_is_told_of_once_and_the_tracker_works() {
    let told = told_of(["level", "message"], "corrupted", b"neither a log nor a beginning of one");
    let message = "the store of the rate limit is none, or damaged: it was put aside";
    assert_eq!(told, [["WARN", message]]);
}

#[test]
fn a_truncated_file_is_told_of_once_and_the_tracker_works() {
    let path = std::env::temp_dir().join(format!("sandtower-{}-whole", std::process::id()));
    let store = FileStore::new(&path, Duration::from_secs(3_600));
    store.exchange(&[Entry::sent(CREATE, 0, 1), Entry::sent(CREATE, 0, 1)], 0).unwrap();
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let told = told_of(["level", "damaged", "torn"], "truncated", &whole[..whole.len() - 3]);
    assert_eq!(told, [["WARN", "0", "37"]]);
    let mut flipped = whole;
    flipped[20] ^= 1;
    let told = told_of(["level", "damaged", "torn"], "flipped", &flipped);
    assert_eq!(told, [["WARN", "1", "0"]]);
}

#[test]
fn a_store_that_cannot_be_used_is_told_of_once_until_it_can() {
    let path = std::env::temp_dir().join(format!("sandtower-{}-missing/file", std::process::id()));
    let told = told(["level", "name"], || {
        let store = Arc::new(FileStore::new(&path, Duration::from_secs(3_600)));
        let limit = RateLimit::with_store(Config::new("E2B"), store).unwrap();
        (0..5).for_each(|_| limit.sync());
    });
    assert_eq!(told, [["WARN", "E2B"]]);
}

fn at(seconds: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(seconds)
}

#[test]
fn a_limit_warns_once_at_eighty_percent_and_once_when_it_is_reached() {
    let told = told(["level", "name", "operation", "count", "limit", "percent"], || {
        let gate = RateLimit::classic();
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
            let settlement = Completion::new(Verdict::success(), at(10_000), at(10_001));
            gate.settle(&RequestInfo::new(CREATE), token, &settlement);
        }
    });
    assert_eq!(told, [["4"], ["5"]]);
}

#[test]
fn what_was_never_sent_warns_of_nothing() {
    let told = told(["count"], || {
        let gate = RateLimit::new(Config::new("E2B").limit(CREATE, 1)).unwrap();
        (0..100).for_each(|_| gate.give_back(&RequestInfo::new(CREATE), take(&gate, at(0))));
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
