//! What the check logs.
//!
//! Whether an event has a subscriber is cached for the whole process, so the subscriber is the
//! process's and collects by thread.

use std::cell::RefCell;
use std::fmt::Debug;

use sandtower_core::Verdict;
use sandtower_health_check::{Config, HealthCheckLayer, OnFailure, check_fn};
use sandtower_testkit::Mock;
use tower::ServiceExt;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

thread_local! {
    static EVENTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Collects the fields of the check's events.
struct Events;

impl<S: tracing::Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sandtower::health_check" {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            EVENTS.with_borrow_mut(|events| events.push(line.0));
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "message" {
            self.0.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_failed_check_is_one_event_that_says_whether_the_response_was_returned() {
    let subscriber = tracing_subscriber::registry().with(Events);
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let check = check_fn(
        |_: Mock<u64, u64>, _: &u64| Some(std::future::ready(Verdict::unknown())),
        |_: Mock<u64, u64>, _: &u64| std::future::ready(()),
    );
    for on_failure in [OnFailure::Warn, OnFailure::Discard] {
        let config = Config::new("E2B").on_failure(on_failure);
        let layer = HealthCheckLayer::new(check, config).unwrap();
        let (mock, _handle) = Mock::always(7);
        let service = tower::Layer::layer(&layer, mock);
        assert_eq!(service.oneshot(1).await.is_ok(), on_failure == OnFailure::Warn);
    }
    let event = |returned| {
        format!(
            "WARN name=\"E2B\" operation=\"call\" probes=3 last=failed (unknown) \
             returned={returned}"
        )
    };
    assert_eq!(EVENTS.take(), [event(true), event(false)]);
}
