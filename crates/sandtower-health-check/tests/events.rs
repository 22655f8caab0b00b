//! What the check tells through `tracing`: alone in its binary, since whether an event is heard is
//! cached for the whole process, and tests that do not listen would turn it off.
#![cfg(test)]

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use sandtower_core::Verdict;
use sandtower_health_check::{Config, HealthCheckLayer, OnFailure, check_fn};
use sandtower_testkit::Mock;
use tower::ServiceExt;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// The fields of all events of the check.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sandtower::health_check" {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
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
    let events = Events::default();
    let subscriber = tracing_subscriber::registry().with(events.clone());
    let _default = tracing::subscriber::set_default(subscriber);
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
    let told = |returned| {
        format!(
            "WARN name=\"E2B\" operation=\"call\" probes=3 last=failed (unknown) \
             returned={returned}"
        )
    };
    assert_eq!(*events.0.lock().unwrap(), [told(true), told(false)]);
}
