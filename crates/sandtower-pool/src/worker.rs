//! The task that creates and kills the stock.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use sandtower_core::Classify;
use sandtower_core::{BoxError, Effect, Priority, Sleep, Tick, judge};
use sandtower_e2b::{E2bClassify, RawCreation, Sandbox, SandboxId, Unclaimed, operation as op};
use sandtower_http::Deadline;
use tokio::task::JoinSet;
use tower_service::Service;

use crate::OnShutdown;
use crate::below::Below;
use crate::engine::{Order, Work};
use crate::hooks::Hooked;
use crate::pool::{IsRunning, Shared};
use crate::reconcile::Reconcile;
use crate::recorder::AGAIN;
use crate::within::within;

/// How long a creation may take that has no timeout, as far as the record says.
const LONGEST: Duration = Duration::from_secs(86_400);
/// How long the stock waits for its first listing.
const FIRST_LISTING: Duration = Duration::from_secs(10);

/// Works until it is aborted.
pub(crate) async fn work(running: IsRunning, below: Below) {
    let shared = &running.shared;
    let background = below.clone().with_priority(Priority::Background);
    let mut tasks = JoinSet::new();
    inherit(shared).await;
    let mut reconcile = Reconcile::new(Tick::now());
    // What an earlier process left behind counts, so it is looked for before anything is created.
    let first = reconcile.begin(Arc::clone(shared), background.clone(), Tick::now());
    within(FIRST_LISTING, first).await;
    loop {
        let now = Tick::now();
        let Work { create, kill, mut again, clock_jumped, .. } = {
            let (room, wall) = ((shared.room)(), (shared.wall)());
            shared.engine().plan(room, wall, now)
        };
        if let Some(recorder) = shared.recorder.as_ref().filter(|recorder| recorder.is_failing()) {
            recorder.begin();
            again = again.min(now + AGAIN);
        }
        if clock_jumped {
            tracing::warn!(target: "sandtower::pool", "wall time jumped");
        }
        for id in kill {
            let (shared, below) = (Arc::clone(shared), below.clone());
            tasks.spawn(async move {
                if shared.client(&below).kill(&id).await.is_ok() {
                    shared.engine().ended(&id, Tick::now());
                    shared.work.notify_one();
                } else {
                    // It counts until it has ended by itself.
                    shared.tracker.kill(id, below.clone());
                }
            });
        }
        for order in create {
            let order = Ordered { order: Some(order), shared: Arc::clone(shared) };
            tasks.spawn(order.create(background.clone()));
        }
        if reconcile.is_due(now) {
            tasks.spawn(reconcile.begin(Arc::clone(shared), background.clone(), now));
        }
        something(shared, &mut tasks, again.min(reconcile.next())).await;
    }
}

/// Learns what an earlier process recorded, however long that takes: another process may have the store.
async fn inherit(shared: &Shared) {
    let Some(recorder) = shared.recorder.as_ref().filter(|recorder| !recorder.is_loaded()) else {
        return;
    };
    let left = loop {
        match recorder.load().await {
            Some(left) => break left,
            None => Sleep::until(Tick::now() + AGAIN).await,
        }
    };
    let keep = shared.config.on_shutdown == OnShutdown::Keep;
    let moment = shared.moment();
    let left = shared.engine().inherit(left, keep, moment);
    if left > 0 {
        tracing::info!(target: "sandtower::pool", left, "an earlier process ended with stock");
    }
}

/// Waits for a task to end, for something to decide, or for `until`.
async fn something(shared: &Shared, tasks: &mut JoinSet<()>, until: Tick) {
    let (mut work, mut sleep) = (pin!(shared.work.notified()), pin!(Sleep::until(until)));
    poll_fn(|cx| {
        if let Poll::Ready(Some(_)) = tasks.poll_join_next(cx) {
            return Poll::Ready(());
        }
        if work.as_mut().poll(cx).is_ready() || sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// A creation for the stock. Dropped before it ends, its result is unknown.
struct Ordered {
    order: Option<Order>,
    shared: Arc<Shared>,
}

/// Why a creation for the stock failed.
struct Failed {
    error: String,
    left: Left,
}

/// What a creation that failed may have left.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Left {
    /// It was not sent, which says nothing about its shape.
    Unsent,
    Nothing,
    Unknown,
    Sandbox(SandboxId),
}

impl Ordered {
    async fn create(mut self, below: Below) {
        let Some(order) = self.order.clone() else { return };
        let created = create(&self.shared, &order, &below).await;
        self.order = None;
        match created {
            Ok((sandbox, unclaimed)) => {
                let id = sandbox.id().clone();
                let template = sandbox.template();
                let kept = self.shared.engine().created(&order, id.clone(), template, Tick::now());
                match (kept, unclaimed) {
                    (true, Some(unclaimed)) => unclaimed.claim(),
                    (true, None) => {}
                    // Dropped unclaimed, the sandbox is killed.
                    (false, Some(unclaimed)) => drop(unclaimed),
                    (false, None) => self.shared.tracker.kill(id, below),
                }
            }
            Err(failed) => self.shared.failed(&order, failed),
        }
        self.shared.work.notify_one();
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        if let Some(order) = self.order.take() {
            self.shared.engine().failed(&order, true, Tick::now());
        }
    }
}

impl Shared {
    fn failed(&self, order: &Order, Failed { error, left }: Failed) {
        let alert = {
            let (mut engine, now) = (self.engine(), Tick::now());
            if left == Left::Unsent {
                engine.not_sent(order, now);
                return;
            }
            let alert = engine.failed(order, left == Left::Unknown, now);
            if let Left::Sandbox(id) = left {
                engine.left_behind(id, self.config.idle_for, now);
            }
            alert
        };
        let template = order.shape.template();
        match alert {
            None => tracing::info!(
                target: "sandtower::pool", template, %error, "creating a warm sandbox failed"
            ),
            Some(alert) => tracing::warn!(
                target: "sandtower::pool",
                template,
                %error,
                again_in_ms = u64::try_from(alert.again_in.as_millis()).unwrap_or(u64::MAX),
                "creating warm sandboxes failed three times in a row, suspended"
            ),
        }
    }
}

type Created = (Sandbox, Option<Unclaimed>);

async fn create(shared: &Shared, order: &Order, below: &Below) -> Result<Created, Failed> {
    let unsent = |error: BoxError| Failed { error: error.to_string(), left: Left::Nothing };
    let body: Bytes = order.shape.body(shared.config.idle_for).into();
    let request =
        shared.e2b.control_request(Method::POST, "/sandboxes", body.clone()).map_err(unsent)?;
    let mark = crate::reconcile::mark(&order.shape, shared);
    let request = request.map(|_| body);
    let (creation, mut request) =
        RawCreation::begin_ahead::<Full<Bytes>>(&shared.e2b, request, &mark);
    let limit = shared.e2b.operation_timeouts().call_of(op::SANDBOX_CREATE);
    let deadline = limit.map(|limit| Tick::now() + limit);
    if let Some(deadline) = deadline {
        request.extensions_mut().insert(Deadline(deadline));
    }
    if let Some(creation) = &creation {
        let deadline = deadline.unwrap_or(Tick::now() + LONGEST);
        shared.engine().sends(order, creation.call(), deadline);
    }
    if !shared.is_recorded().await {
        return Err(Failed { error: String::new(), left: Left::Unsent });
    }
    let classifier = E2bClassify.classify(&Request::new(()));
    let result = below.clone().call(request).await;
    let verdict = judge(&classifier, result.as_ref());
    if let Some(creation) = creation {
        creation.end(&result);
    }
    let left = if verdict.effect == Effect::None { Left::Nothing } else { Left::Unknown };
    let response = result.map_err(|error| Failed { error: chain(&*error), left: left.clone() })?;
    let (head, _) = response.into_parts();
    let sandbox = head.extensions.get::<Sandbox>().cloned();
    let unclaimed = head.extensions.get::<Unclaimed>().cloned();
    let Some(sandbox) = sandbox.filter(|_| head.status.is_success()) else {
        // A 4xx means that nothing was created.
        let left = if head.status.is_client_error() { Left::Nothing } else { left };
        return Err(Failed { error: format!("status {}", head.status.as_u16()), left });
    };
    if let Some(hook) = &shared.warm_up {
        let (client, shape) = (shared.client(below), order.shape.clone());
        let warmed = hook.run(Hooked { client, sandbox: sandbox.clone(), shape }).await;
        if let Err(error) = warmed {
            // The pool kills it, and counts it until then.
            unclaimed.inspect(Unclaimed::claim);
            let error = format!("warm-up: {}", chain(&*error));
            return Err(Failed { error, left: Left::Sandbox(sandbox.id().clone()) });
        }
    }
    Ok((sandbox, unclaimed))
}

/// An error and its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
