use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use sandtower_core::{BoxError, Sleep, Tick};
use serde::Serialize;
use tokio::sync::Notify;
use tower_service::Service;

use crate::Alert;
use crate::timestamp::rfc3339;

/// How long one delivery may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The wait after the first delivery that failed; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The most alerts that wait for their delivery. There are never more in use than rules and series.
const MOST: usize = 256;

/// Where alerts are sent: a `POST` with the body that Prometheus' Alertmanager sends (version 4), over
/// any HTTP service.
///
/// Only a status of 2xx is a delivery; a redirect is not followed. What was not delivered is sent again
/// after 1 s, then after twice as long, at most 60 s, until it is delivered, always in its latest state;
/// an alert that was resolved before anything of it was delivered is not sent. A failure is logged once,
/// until a delivery succeeds.
///
/// The address may contain a token: it is in no `Debug` and in no event.
#[derive(Clone)]
pub struct Webhook<S> {
    service: S,
    uri: Uri,
}

impl<S> Webhook<S> {
    /// Sends to `uri` by `service`, whose TLS, proxy and headers are its own.
    pub fn new(service: S, uri: Uri) -> Self {
        Self { service, uri }
    }
}

impl<S> std::fmt::Debug for Webhook<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

/// What waits to be delivered.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// In their latest state.
    waiting: BTreeMap<Id, Queued>,
    /// Those that fire as far as the receiver knows.
    known: BTreeMap<Id, SystemTime>,
}

/// A rule and labels.
type Id = (&'static str, BTreeMap<&'static str, String>);

#[derive(Clone, Debug)]
struct Queued {
    alert: Alert,
    began: SystemTime,
    ended: Option<SystemTime>,
}

impl Outbox {
    /// Queues alerts that began or ended.
    pub(crate) fn put(&self, alerts: &[Alert]) {
        let now = wall();
        let mut state = self.lock();
        for alert in alerts {
            let id = (alert.name, alert.labels.clone());
            let known = state.known.get(&id).copied();
            if alert.firing == known.is_some() {
                // The receiver knows; what was to be sent before is out of date.
                state.waiting.remove(&id);
            } else if state.waiting.len() < MOST || state.waiting.contains_key(&id) {
                let ended = (!alert.firing).then_some(now);
                let queued = Queued { alert: alert.clone(), began: known.unwrap_or(now), ended };
                state.waiting.insert(id, queued);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Delivers what is put in, until it is dropped.
    pub(crate) async fn deliver<S, B>(self: Arc<Self>, mut webhook: Webhook<S>)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
    {
        let (mut wait, mut failing) = (FIRST_WAIT, false);
        loop {
            let batch: Vec<Queued> = self.lock().waiting.values().cloned().collect();
            if batch.is_empty() {
                self.changed.notified().await;
                continue;
            }
            match webhook.send(&batch).await {
                Ok(()) => {
                    self.delivered(&batch);
                    wait = FIRST_WAIT;
                    if std::mem::take(&mut failing) {
                        tracing::info!(
                            target: "sandtower::alerts", "alert webhook recovered"
                        );
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        let waiting = batch.len();
                        tracing::warn!(
                            target: "sandtower::alerts", error, waiting, "alert webhook failed"
                        );
                    }
                    Sleep::until(Tick::now() + wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    fn delivered(&self, batch: &[Queued]) {
        let mut state = self.lock();
        for sent in batch {
            let id = (sent.alert.name, sent.alert.labels.clone());
            match sent.ended {
                None => drop(state.known.insert(id.clone(), sent.began)),
                Some(_) => drop(state.known.remove(&id)),
            }
            // What changed meanwhile stays, unless the receiver now knows as much.
            let known = state.known.contains_key(&id);
            if state.waiting.get(&id).is_some_and(|waiting| waiting.alert.firing == known) {
                state.waiting.remove(&id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, B> Webhook<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    /// Sends once. The error is what may be logged.
    async fn send(&mut self, batch: &[Queued]) -> Result<(), String> {
        let body = serde_json::to_vec(&Body::of(batch)).map_err(|error| error.to_string())?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, http::HeaderValue::from_static("sandtower"));
        let service = &mut self.service;
        let sent = async {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        };
        match tokio::time::timeout(TIMEOUT, sent).await {
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(rejected(response.status())),
            Ok(Err(error)) => Err(self.hidden(&error.into())),
            Err(_) => Err(format!("no response within {} s", TIMEOUT.as_secs())),
        }
    }

    /// The error and its sources, without the address.
    fn hidden(&self, error: &BoxError) -> String {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source.filter(|_| text.len() < 500) {
            text = format!("{text}: {error}");
            source = error.source();
        }
        let secrets = self.uri.path_and_query().map_or("", |secret| secret.as_str());
        if secrets.len() > 1 { text.replace(secrets, "/***") } else { text }
    }
}

fn rejected(status: StatusCode) -> String {
    match status.is_redirection() {
        true => format!("status {}: redirects are not followed", status.as_u16()),
        false => format!("status {}", status.as_u16()),
    }
}

/// The body of Alertmanager's webhooks.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    version: &'static str,
    status: &'static str,
    receiver: &'static str,
    alerts: Vec<BodyAlert<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BodyAlert<'a> {
    status: &'static str,
    labels: BTreeMap<&'static str, &'a str>,
    annotations: BTreeMap<&'static str, &'a str>,
    starts_at: String,
    ends_at: String,
    value: f64,
}

impl<'a> Body<'a> {
    fn of(batch: &'a [Queued]) -> Self {
        let fires = batch.iter().any(|queued| queued.alert.firing);
        Self {
            version: "4",
            status: status(fires),
            receiver: "sandtower",
            alerts: batch.iter().map(BodyAlert::of).collect(),
        }
    }
}

impl<'a> BodyAlert<'a> {
    fn of(Queued { alert, began, ended }: &'a Queued) -> Self {
        let labels = alert.labels.iter().map(|(label, value)| (*label, value.as_str()));
        let own = [("alertname", alert.name), ("severity", alert.severity)];
        Self {
            status: status(alert.firing),
            labels: labels.chain(own).collect(),
            annotations: BTreeMap::from([
                ("summary", alert.summary),
                ("runbook_url", alert.runbook_url.as_str()),
            ]),
            starts_at: rfc3339(*began),
            // What Go writes for "not yet", as Alertmanager does.
            ends_at: ended.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), rfc3339),
            value: alert.value,
        }
    }
}

fn status(firing: bool) -> &'static str {
    if firing { "firing" } else { "resolved" }
}

#[expect(clippy::disallowed_methods, reason = "the receiver knows no other time")]
fn wall() -> SystemTime {
    SystemTime::now()
}
