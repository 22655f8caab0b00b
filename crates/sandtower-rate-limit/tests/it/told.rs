//! What the rate limit logs through `tracing`.
//!
//! One subscriber serves the whole binary, and keeps what a thread tells for that thread: scoped
//! ones turn each other's events off.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Once;

use sandtower_core::{Allowance, Completion, Deferred, Gate, Now, RequestInfo, Scope, Verdict};
use sandtower_rate_limit::{Config, RateLimit};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::support::{CREATE, acquire, at, give_back, limit, record, seconds, send, take};

pub(crate) type Fields = BTreeMap<String, String>;

thread_local! {
    static TOLD: RefCell<Option<Vec<Fields>>> = const { RefCell::new(None) };
    /// Called with each event, as a subscriber that looks at the limit would be.
    static LOOKS: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

struct Listener;

impl<S: tracing::Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "sandtower::rate_limit" {
            return;
        }
        let mut fields = Visited::default();
        event.record(&mut fields);
        fields.0.insert("level".into(), event.metadata().level().to_string());
        TOLD.with_borrow_mut(|told| told.as_mut().map(|told| told.push(fields.0)));
        if let Some(looks) = LOOKS.take() {
            looks();
            LOOKS.set(Some(looks));
        }
    }
}

#[derive(Default)]
struct Visited(Fields);

impl Visit for Visited {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
}

/// The events that this thread tells during `work`.
pub(crate) fn events(work: impl FnOnce()) -> Vec<Fields> {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Listener);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    TOLD.set(Some(Vec::new()));
    work();
    TOLD.take().unwrap_or_default()
}

/// The same, as the values of these fields.
pub(crate) fn told<const N: usize>(fields: [&str; N], work: impl FnOnce()) -> Vec<[String; N]> {
    let value = |event: &Fields, field: &str| event.get(field).cloned().unwrap_or_default();
    events(work).iter().map(|event| fields.map(|field| value(event, field))).collect()
}

#[test]
fn a_limit_warns_once_at_eighty_percent_and_once_when_it_is_reached() {
    let fields = ["level", "name", "operation", "count", "limit", "percent", "enforced", "message"];
    let mut told = told(fields, || {
        let gate = RateLimit::classic();
        (0..150).for_each(|second| send(&gate, CREATE, at(second), Verdict::success()));
    });
    let row = |count, percent| {
        let message = "rate limit threshold reached";
        ["WARN", "E2B", "sandbox_create", count, "100", percent, "false", message]
    };
    told.retain(|[.., message]| !message.contains("would have"));
    assert_eq!(told, [row("80", "80"), row("100", "100")]);
}

#[test]
fn every_new_rise_warns_again_even_without_a_response_in_between() {
    let told = told(["count"], || {
        let gate = limit(Config::new("E2B").limit(CREATE, 5).warn_at([80]));
        (0..5).for_each(|_| send(&gate, CREATE, at(0), Verdict::success()));
        let together: Vec<_> = (0..5).map(|_| take(&gate, CREATE, at(10_000)).unwrap()).collect();
        for permit in together {
            let done = Completion::new(Verdict::success(), at(10_000), at(10_001));
            record(&gate, &RequestInfo::new(CREATE), permit, &done);
        }
    });
    assert_eq!(told, [["4"], ["5"]]);
}

#[test]
fn what_was_never_sent_warns_of_nothing() {
    let told = told(["count"], || {
        let gate = limit(Config::new("E2B").limit(CREATE, 1));
        for _ in 0..100 {
            let permit = take(&gate, CREATE, at(0)).unwrap();
            give_back(&gate, CREATE, permit, at(0));
        }
    });
    assert_eq!(told, Vec::<[String; 1]>::new());
}

#[test]
fn a_server_that_keeps_throttling_is_logged_once_for_each_hold() {
    let told = told(["level", "operation", "message"], || {
        let gate = limit(Config::classic().exempt(CREATE));
        for second in [0, 0, 1, 20] {
            let verdict = Verdict::throttled().retry_after(seconds(4));
            send(&gate, CREATE, at(second), verdict);
        }
    });
    let row = ["INFO", "sandbox_create", "server rate limit hold began"];
    assert_eq!(told, [row, row]);
}

#[test]
fn that_scopes_share_a_hold_is_logged_once() {
    let told = told(["level", "message"], || {
        let gate = RateLimit::classic();
        for id in 0..500 {
            let request = RequestInfo::new(CREATE).scope(Scope::new(id));
            let permit = acquire(&gate, &request, at(0)).unwrap();
            let done = Completion::new(Verdict::throttled(), at(0), at(0));
            record(&gate, &request, permit, &done);
        }
    });
    let shared = told.iter().filter(|[_, message]| message.contains("share"));
    assert_eq!(shared.collect::<Vec<_>>(), [&["WARN", "rate limit scopes share a hold"]]);
}

#[test]
fn a_subscriber_that_looks_at_the_limit_meets_no_lock_and_hears_nothing_before_it_is_over() {
    let gate = limit(Config::new("E2B").limit(CREATE, 100).warn_at([1]).warn_margin(0));
    let looked = gate.clone();
    LOOKS.set(Some(Box::new(move || {
        let now = Now::at(at(0));
        let _ = (looked.snapshot(), looked.status(CREATE), looked.server_limit(CREATE, Scope::ALL));
        let _ = looked.check(Some(&RequestInfo::new(CREATE)), &now);
        let _ = looked.set_limit(CREATE, Some(100));
        let permit = looked.try_acquire(&RequestInfo::new(CREATE), &now, &mut Deferred::new());
        if let Ok(permit) = permit {
            give_back(&looked, CREATE, permit, at(0));
        }
        looked.sync();
    })));
    let events = events(|| {
        let request = RequestInfo::new(CREATE);
        let permit = acquire(&gate, &request, at(0)).unwrap();
        let told = Allowance::new(10, 0, seconds(9));
        let verdict = Verdict::throttled().allowance(told);
        let mut later = Deferred::new();
        gate.record(&request, permit, &Completion::new(verdict, at(0), at(0)), &mut later);
        TOLD.with_borrow(|told| assert_eq!(told.as_ref().unwrap().len(), 0, "it is deferred"));
        drop(later);
    });
    LOOKS.set(None);
    assert_eq!(events.len(), 2);
}
