use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use sandtower_core::{BoxError, Sleep, Tick};
use tower_service::Service;

use crate::alerts::{AllSeries, Engine};
use crate::history::{EVERY, Recorder};
use crate::reading::{Reading, series};
use crate::webhook::Outbox;
use crate::{Alert, History, Registry, Webhook};

/// Reads a registry every 5 s: evaluates the alerts, and keeps the last hour for a page. Cheap to clone;
/// clones are one.
///
/// It does so while [`run`](Self::run) is polled, so spawn that. An alert that begins to fire is a `WARN`
/// event of the target `sandtower::alerts`, one that is resolved an `INFO` event.
///
/// ```no_run
/// # fn example(registry: sandtower_telemetry::Registry) {
/// use sandtower_telemetry::Watch;
///
/// let watch = Watch::new(registry);
/// tokio::spawn(watch.clone().run());
///
/// // Elsewhere, for a page:
/// for alert in watch.alerts() {
///     println!("{}: {}", alert.name, alert.summary);
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Watch {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    registry: Registry,
    state: Mutex<State>,
    running: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    engine: Engine,
    recorders: BTreeMap<Arc<str>, Recorder>,
}

impl Watch {
    /// Of all sources that `registry` has now and later.
    pub fn new(registry: Registry) -> Self {
        let running = AtomicBool::new(false);
        Self { shared: Arc::new(Shared { registry, state: Mutex::default(), running }) }
    }

    /// Reads every 5 s, until it is dropped. Returns at once if it runs already.
    pub async fn run(self) {
        self.evaluate_until_dropped(None).await;
    }

    /// The same, and sends alerts to `webhook`. A webhook that hangs or fails delays nothing but itself.
    pub async fn run_with<S, B>(self, webhook: Webhook<S>)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
    {
        let outbox = Arc::new(Outbox::default());
        let mut evaluating = pin!(self.evaluate_until_dropped(Some(Arc::clone(&outbox))));
        let mut delivering = pin!(outbox.deliver(webhook));
        std::future::poll_fn(|cx| {
            // It never ends.
            let _ = delivering.as_mut().poll(cx);
            evaluating.as_mut().poll(cx)
        })
        .await;
    }

    /// All alerts that fire, as of the last reading.
    pub fn alerts(&self) -> Vec<Alert> {
        self.lock().engine.firing(Tick::now())
    }

    /// The last hour of the sources of this name; `None`: there is none, or nothing was read yet.
    pub fn history(&self, source: &str) -> Option<History> {
        self.lock().recorders.get(source).map(Recorder::history)
    }

    /// The names of the sources that have a history.
    pub fn sources(&self) -> Vec<Arc<str>> {
        self.lock().recorders.keys().cloned().collect()
    }

    async fn evaluate_until_dropped(&self, outbox: Option<Arc<Outbox>>) {
        let Some(_running) = Running::begin(&self.shared.running) else { return };
        loop {
            let changes = self.evaluate(Tick::now());
            changes.iter().for_each(log);
            if let Some(outbox) = outbox.as_ref().filter(|_| !changes.is_empty()) {
                outbox.put(&changes);
            }
            Sleep::until(Tick::now() + EVERY).await;
        }
    }

    fn evaluate(&self, now: Tick) -> Vec<Alert> {
        let readings = self.shared.registry.read();
        let all = series(&readings);
        let mut state = self.lock();
        state.record(&readings, &all);
        state.engine.evaluate(&all, now)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&mut self, readings: &[Reading], all: &AllSeries<'_>) {
        self.recorders.retain(|name, _| readings.iter().any(|reading| reading.name() == name));
        for reading in readings {
            self.recorders.entry(Arc::clone(reading.name())).or_default();
        }
        for (name, recorder) in &mut self.recorders {
            recorder.record(all, name);
        }
    }
}

/// Only one reads: two would keep every point twice.
struct Running<'a>(&'a AtomicBool);

impl<'a> Running<'a> {
    fn begin(running: &'a AtomicBool) -> Option<Self> {
        (!running.swap(true, Ordering::AcqRel)).then_some(Self(running))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn log(alert: &Alert) {
    let Alert { name, severity, value, .. } = alert;
    let labels = alert.labels.iter().map(|(label, value)| format!("{label}={value}"));
    let labels = labels.collect::<Vec<_>>().join(" ");
    if alert.firing {
        tracing::warn!(
            target: "sandtower::alerts", alert = name, severity, labels, value, "alert firing"
        );
    } else {
        tracing::info!(
            target: "sandtower::alerts", alert = name, severity, labels, value, "alert resolved"
        );
    }
}
