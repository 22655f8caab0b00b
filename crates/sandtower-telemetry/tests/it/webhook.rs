//! A receiver of alerts, and all that can be wrong with one.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use sandtower::core::{BoxError, Tick};
use sandtower_telemetry::{Watch, Webhook};
use serde_json::Value;
use tokio::time::sleep;
use tower::service_fn;
use tower::util::BoxCloneSyncService;

use crate::scenarios::SCENARIOS;

/// Bodies that were delivered or tried, each with its second.
type Seen = Arc<Mutex<Vec<(u64, Value)>>>;

type Receiver = BoxCloneSyncService<Request<Full<Bytes>>, Response<()>, BoxError>;

const URI: &str = "https://hooks.example.com/services/planted-token?key=planted-key";

/// Responds to each request as `respond` says, which gets its number.
fn receiver(seen: &Seen, respond: fn(usize) -> Result<Response<()>, BoxError>) -> Receiver {
    let (seen, start) = (Arc::clone(seen), Tick::now());
    BoxCloneSyncService::new(service_fn(move |request: Request<Full<Bytes>>| {
        let seen = Arc::clone(&seen);
        async move {
            assert_eq!(request.uri(), URI);
            let body = request.into_body().collect().await?.to_bytes();
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.push((Tick::now().since(start).as_secs(), serde_json::from_slice(&body)?));
                seen.len()
            };
            match respond(number) {
                // Hangs.
                Ok(response) if response.status() == 418 => std::future::pending().await,
                responded => responded,
            }
        }
    }))
}

fn status(status: u16) -> Result<Response<()>, BoxError> {
    Ok(Response::builder().status(status).body(())?)
}

/// The breaker of the first scenario, with this receiver. Returns what it saw.
async fn outage(
    respond: fn(usize) -> Result<Response<()>, BoxError>,
    minutes: u64,
) -> Vec<(u64, Value)> {
    let scenario = &SCENARIOS[0];
    let (registry, minute) = scenario.play();
    let seen = Seen::default();
    let webhook = Webhook::new(receiver(&seen, respond), URI.parse().unwrap());
    assert!(!format!("{webhook:?}").contains("planted"));
    let watch = Watch::new(registry);
    let running = tokio::spawn(watch.clone().run_with(webhook));
    for at in 1..=minutes {
        sleep(Duration::from_secs(60)).await;
        minute.store(at, Ordering::Relaxed);
        let points = watch.history("e2b").unwrap().lines[0].points.len() as u64;
        assert!(points >= 12 * at, "the webhook delays the evaluation: {points} points");
    }
    running.abort();
    std::mem::take(&mut *seen.lock().unwrap())
}

fn statuses(seen: &[(u64, Value)]) -> Vec<&str> {
    seen.iter().map(|(_, body)| body["status"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_alert_is_delivered_once_when_it_fires_and_once_when_it_is_resolved() {
    let seen = outage(|_| status(200), 20).await;
    assert_eq!(statuses(&seen), ["firing", "resolved"]);
    let (_, fired) = &seen[0];
    assert_eq!(fired["version"], "4");
    let alert = &fired["alerts"][0];
    assert_eq!(alert["labels"]["alertname"], "SandtowerBreakerNotClosed");
    assert_eq!(alert["labels"]["breaker"], "E2B");
    assert_eq!(alert["labels"]["severity"], "critical");
    assert_eq!(alert["endsAt"], "0001-01-01T00:00:00Z");
    let runbook = alert["annotations"]["runbook_url"].as_str().unwrap();
    assert!(runbook.starts_with("https://") && runbook.contains("docs/operations.md#"));
    let (_, resolved) = &seen[1];
    assert_eq!(resolved["alerts"][0]["startsAt"], alert["startsAt"]);
    assert_ne!(resolved["alerts"][0]["endsAt"], alert["endsAt"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_delivered_is_sent_again_in_its_latest_state() {
    let seen = outage(|number| status(if number <= 3 { 500 } else { 200 }), 20).await;
    assert_eq!(statuses(&seen), ["firing", "firing", "firing", "firing", "resolved"]);
    let first = seen[0].0;
    let after: Vec<_> = seen[..4].iter().map(|(at, _)| at - first).collect();
    assert_eq!(after, [0, 1, 3, 7]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_of_which_nothing_was_delivered_is_not_resolved_there() {
    let seen = outage(|_| status(500), 40).await;
    assert!(statuses(&seen).iter().all(|status| *status == "firing"), "{seen:?}");
    // It fires for less than 7 minutes; the waits double up to a minute.
    assert!((8..=16).contains(&seen.len()), "{}", seen.len());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_redirects_or_has_no_valid_certificate_delays_nothing() {
    for respond in [
        (|_| status(418)) as fn(usize) -> Result<Response<()>, BoxError>,
        |_| status(302),
        |_| Err(format!("{URI}: invalid peer certificate: UnknownIssuer").into()),
    ] {
        let seen = outage(respond, 14).await;
        assert!(seen.len() > 3, "it is tried again: {}", seen.len());
    }
}
