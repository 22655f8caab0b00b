//! User code that panics.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Once};
use std::time::Duration;

use sandtower_e2b::NewSandbox;
use tokio::task::JoinHandle;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_global_default;
use tracing::{Event, Metadata, Subscriber};

use super::fake::{Fake, Fate, attempts};

const LONG: Duration = Duration::from_secs(1_000);

/// Enables all events, so that all fields are evaluated.
struct All;

impl Subscriber for All {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// For the whole binary: if one thread disables an event, `tracing` may disable it for others.
fn want_all_events() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| set_global_default(All).unwrap());
}

/// The user code that events call panics at the event with this number.
async fn panics_at(event: usize, fates: &[Fate]) -> (Fake, bool, bool) {
    want_all_events();
    let fake = Fake::with(fates);
    let (client, tracker) = attempts(&fake);
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    client.config().creation_events().circuit_breaker_state(move || {
        assert_ne!(count.fetch_add(1, SeqCst) + 1, event, "the user's own code");
        "closed"
    });
    let call: JoinHandle<bool> = tokio::spawn(AssertUnwindSafe(async move {
        client.create(&NewSandbox::new("base")).await.is_ok()
    }));
    let got_it = call.await.unwrap_or(false);
    tracker.drain_within(LONG).await.unwrap();
    (fake, got_it, seen.load(SeqCst) >= event)
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_user_at_any_event_leaves_no_sandbox_behind() {
    for fates in [&[][..], &[Fate::Lost], &[Fate::Full]] {
        let mut panicked = 0;
        for event in 1..=4 {
            let (fake, got_it, has_panicked) = panics_at(event, fates).await;
            assert_eq!(fake.alive().len(), usize::from(got_it), "{fates:?}: event {event}");
            panicked += usize::from(has_panicked);
        }
        // A start and a success, or a start, a failed attempt and a failed call.
        assert_eq!(panicked, if fates.is_empty() { 2 } else { 3 });
    }
}

#[tokio::test(start_paused = true)]
async fn the_closure_for_the_state_of_the_breaker_may_call_anything() {
    want_all_events();
    let fake = Fake::with([Fate::Lost]);
    let (client, tracker) = attempts(&fake);
    let (events, asked) = (client.config().creation_events().clone(), tracker.clone());
    let inner = events.clone();
    events.circuit_breaker_state(move || {
        // No lock is held here, or this would deadlock.
        let _ = (asked.snapshot(), inner.snapshot());
        inner.circuit_breaker_state(|| "open");
        "closed"
    });
    client.create(&NewSandbox::new("base")).await.unwrap_err();
    tracker.drain_within(LONG).await.unwrap();
}
