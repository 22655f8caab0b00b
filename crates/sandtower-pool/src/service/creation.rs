//! A creation: served from stock, or passed on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{
    BoxError, Effect, Outcome, Patience, Priority, RequestInfo, Tenant, Tick, Verdict, is_rejected,
    recording, verdict_of_error,
};
use sandtower_e2b::{Creation, E2bClassify, Sandbox, SandboxId, Unclaimed};
use sandtower_health_check::Check;
use sandtower_http::Deadline;
use tower_service::Service;

use crate::below::Below;
use crate::engine::{HandOut, Miss};
use crate::items::SessionOf;
use crate::pool::{Shared, Used};
use crate::recipient::{Assignment, Recipient};
use crate::reuse::Session;
use crate::shape::Wanted;
use crate::within::{send, within};
use crate::worker::chain;

/// How many sandboxes are tried for one call.
const TRIES: u32 = 3;
/// By how much the end of a sandbox that is given to a caller differs from that of stock: see `reconcile.rs`.
const APART: Duration = Duration::from_secs(10);

/// One call that creates a sandbox.
pub(super) struct Call<S> {
    shared: Arc<Shared>,
    service: S,
}

/// On whose behalf the call is made.
struct Caller {
    tenant: Tenant,
    session: Option<SessionOf>,
    priority: Priority,
    patience: Option<Patience>,
    deadline: Option<Tick>,
    recipient: Option<Recipient>,
}

impl Caller {
    fn of<B>(request: &Request<B>) -> Self {
        let extensions = request.extensions();
        let info = extensions.get::<RequestInfo>().copied().unwrap_or_default();
        let tenant = extensions.get::<Tenant>().copied().unwrap_or(info.tenant);
        let session = extensions.get::<Session>();
        let session = session.map(|Session(key)| SessionOf { tenant, key: Arc::clone(key) });
        let deadline = extensions.get::<Deadline>().map(|Deadline(at)| *at);
        Self {
            tenant,
            session,
            priority: extensions.get::<Priority>().copied().unwrap_or(info.priority),
            patience: extensions.get::<Patience>().copied().or(info.patience),
            deadline: [deadline, info.deadline].into_iter().flatten().min(),
            recipient: extensions.get::<Recipient>().cloned(),
        }
    }
}

impl<S> Call<S> {
    pub(super) fn new(shared: Arc<Shared>, service: S) -> Self {
        Self { shared, service }
    }

    pub(super) async fn respond<Q, B>(
        self,
        creation: Creation,
        request: Request<Q>,
    ) -> Result<Response<B>, BoxError>
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        Q: From<Full<Bytes>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let caller = Caller::of(&request);
        let mark = caller.recipient.as_ref().map(|recipient| recipient.mark);
        let wanted = if !self.shared.e2b.has_key_of(&request) {
            Err(Miss::OtherKey)
        } else if creation.is_keyed_by_caller() {
            Err(Miss::Keyed)
        } else {
            Wanted::of(request.uri().path(), &creation.to_json(), mark)
        };
        drop(creation);
        let miss = match &wanted {
            Ok(wanted) => match self.hand_out(wanted, &caller).await {
                Ok(response) => return Ok(response),
                Err(miss) => miss,
            },
            Err(miss) => *miss,
        };
        self.pass(wanted.ok(), miss, &caller, request).await
    }

    /// The creation is sent as it came.
    async fn pass<Q, B>(
        self,
        wanted: Option<Wanted>,
        miss: Miss,
        caller: &Caller,
        request: Request<Q>,
    ) -> Result<Response<B>, BoxError>
    where
        S: Service<Request<Q>, Response = Response<B>>,
        S::Error: Into<BoxError>,
    {
        let Self { shared, service } = self;
        tracing::debug!(target: "sandtower::pool", reason = %miss, "not served from the warm pool");
        let began = Tick::now();
        let is_full = (shared.room)().free_slots == Some(0);
        {
            let mut engine = shared.engine();
            engine.missed(wanted.as_ref(), miss);
            if is_full {
                engine.yield_slot(wanted.as_ref().map(|wanted| &wanted.shape), began);
            }
        }
        shared.work.notify_one();
        let response = send(service, request).await?;
        let sandbox = response.extensions().get::<Sandbox>();
        if let (Some(wanted), Some(sandbox)) = (wanted, sandbox) {
            let now = Tick::now();
            shared.engine().learn(&wanted.shape, now.since(began), now);
            shared.work.notify_one();
            shared.uses(sandbox, wanted, caller.session.as_ref(), 0, began);
        }
        Ok(response)
    }

    async fn hand_out<Q, B>(&self, wanted: &Wanted, caller: &Caller) -> Result<Response<B>, Miss>
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        Q: From<Full<Bytes>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (shared, session) = (&self.shared, caller.session.as_ref());
        let began = Tick::now();
        let mut leased = shared.engine().request(wanted, caller.tenant, session, began)?;
        shared.work.notify_one();
        if recording::is_on() {
            recording::pooled(began);
        }
        let limit =
            (began + shared.config.hand_out_within).min(caller.deadline.unwrap_or(Tick::MAX));
        let mut miss = Miss::Dead;
        for _ in 0..TRIES {
            let held = Held { hand_out: Some(leased), shared: Arc::clone(shared) };
            let left = limit.since(Tick::now());
            match within(left, self.try_out(held, wanted, caller, limit)).await {
                Some(Ok(response)) => return Ok(response),
                Some(Err(Tried::Dead)) => {}
                Some(Err(Tried::Unknown)) => break,
                Some(Err(Tried::Unrecorded)) => {
                    miss = Miss::Store;
                    break;
                }
                None => {
                    miss = Miss::Late;
                    break;
                }
            }
            match shared.engine().another(wanted, session, Tick::now()) {
                Ok(other) => leased = other,
                Err(_) => break,
            }
        }
        if recording::is_on() {
            recording::attempt(1, Tick::now());
        }
        Err(miss)
    }

    /// Connects to a sandbox, checks it, and takes it.
    async fn try_out<Q, B>(
        &self,
        mut held: Held,
        wanted: &Wanted,
        caller: &Caller,
        limit: Tick,
    ) -> Result<Response<B>, Tried>
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        Q: From<Full<Bytes>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Some(hand_out) = held.hand_out.clone() else { return Err(Tried::Dead) };
        let assigned = Assignment::of(&hand_out.id, caller.recipient.as_ref()).await;
        let Some(assigned) = assigned else { return Err(held.released(hand_out.ends_by)) };
        let left = hand_out.ends_by.since(Tick::now());
        let lifetime = wanted.timeout.max(left + APART);
        let request =
            self.connect::<Q>(&hand_out.id, lifetime, caller, limit).ok_or(Tried::Unknown)?;
        if !self.shared.is_recorded().await {
            return Err(held.unrecorded(hand_out.ends_by));
        }
        let ends_by = Tick::now() + lifetime + APART;
        self.shared.engine().connects(&hand_out, ends_by);
        let mut response = match send(self.service.clone(), request).await {
            Ok(response) => response,
            Err(error) => {
                let verdict = verdict_of_error(&*error).unwrap_or(Verdict::unknown());
                // It was not sent: one of our own layers rejected it, or there is no connection.
                if is_rejected(&*error) || verdict.effect == Effect::None {
                    return Err(held.released(hand_out.ends_by));
                }
                return Err(held.in_doubt(&chain(&*error), ends_by));
            }
        };
        let sandbox = response.extensions().get::<Sandbox>().cloned();
        let Some(sandbox) = sandbox.filter(|_| response.status().is_success()) else {
            let status = response.status();
            let is_services = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            return Err(match is_services {
                true => held.in_doubt(status.as_str(), ends_by),
                false => held.is_dead(status.as_str()),
            });
        };
        let check = self.shared.check.clone().with_body::<Q>();
        if let Some(probe) = Check::probe(&check, self.service.clone(), &response) {
            let verdict = probe.await;
            if [Outcome::Rejected, Outcome::Throttled].contains(&verdict.outcome) {
                return Err(held.released(ends_by));
            }
            if !verdict.is_success() {
                return Err(held.is_dead("the check failed"));
            }
        }
        let now = Tick::now();
        if !self.shared.engine().take(&hand_out, now) {
            return Err(Tried::Dead);
        }
        // Before the response leaves: from there on it is its caller's, and no other process kills it.
        if !self.shared.is_recorded().await {
            return Err(held.unrecorded(ends_by));
        }
        held.hand_out = None;
        self.shared.engine().served(&hand_out);
        let below = Below::new::<S, Q, B>(self.service.clone());
        let unclaimed = self.unclaimed(&hand_out.id, below.clone());
        // Shortened by less, it would end when stock does, and be taken for it.
        let is_shortened = left > wanted.timeout + APART;
        assigned.delivered(if is_shortened { wanted.timeout } else { lifetime });
        if is_shortened {
            self.shared.shorten(hand_out.id.clone(), wanted.timeout, below);
        }
        self.shared.uses(&sandbox, wanted.clone(), caller.session.as_ref(), hand_out.uses, now);
        *response.status_mut() = StatusCode::CREATED;
        response.extensions_mut().insert::<Unclaimed>(unclaimed);
        let age_ms = u64::try_from(hand_out.age.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(
            target: "sandtower::pool", sandbox_id = %hand_out.id, age_ms, "served from the warm pool"
        );
        Ok(response)
    }

    /// It counts as stock until its caller has it, or it has ended.
    fn unclaimed(&self, id: &SandboxId, below: Below) -> Unclaimed {
        let (shared, its) = (Arc::clone(&self.shared), id.clone());
        self.shared.tracker.unclaimed_then(id.clone(), below, move |is_claimed| {
            match is_claimed {
                true => shared.engine().claimed(&its, Tick::now()),
                false => shared.engine().unclaimed(&its, Tick::now()),
            }
            shared.work.notify_one();
        })
    }

    fn connect<Q: From<Full<Bytes>>>(
        &self,
        id: &SandboxId,
        lifetime: Duration,
        caller: &Caller,
        limit: Tick,
    ) -> Option<Request<Q>> {
        let seconds = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
        let body = format!(r#"{{"timeout":{seconds}}}"#);
        let path = format!("/sandboxes/{id}/connect");
        let request = self.shared.e2b.control_request(Method::POST, &path, body.into()).ok()?;
        let mut request = request.map(Q::from);
        let extensions = request.extensions_mut();
        extensions.insert(caller.tenant);
        extensions.insert(caller.priority);
        extensions.insert(Deadline(limit));
        caller.patience.map(|patience| extensions.insert(patience));
        E2bClassify::put_info(&mut request);
        Some(request)
    }
}

/// Why a sandbox was not returned.
enum Tried {
    /// It is dead: another one may not be.
    Dead,
    /// That was no evidence about the sandbox: others would fail too.
    Unknown,
    /// The hand-out cannot be recorded.
    Unrecorded,
}

/// A sandbox that is leased. Dropped, it is killed.
struct Held {
    hand_out: Option<HandOut>,
    shared: Arc<Shared>,
}

impl Held {
    fn released(&mut self, ends_by: Tick) -> Tried {
        if let Some(hand_out) = self.hand_out.take() {
            self.shared.engine().release(&hand_out, ends_by);
        }
        Tried::Unknown
    }

    fn unrecorded(&mut self, ends_by: Tick) -> Tried {
        self.released(ends_by);
        Tried::Unrecorded
    }

    /// The service may be down: then the sandbox lives.
    fn in_doubt(&mut self, error: &str, ends_by: Tick) -> Tried {
        let is_kept = |hand_out: &HandOut| self.shared.engine().doubt(hand_out, ends_by);
        if self.hand_out.as_ref().is_some_and(is_kept) {
            self.hand_out = None;
        } else {
            self.is_dead(error);
        }
        Tried::Unknown
    }

    fn is_dead(&self, error: &str) -> Tried {
        if let Some(HandOut { id, .. }) = &self.hand_out {
            tracing::warn!(target: "sandtower::pool", sandbox_id = %id, error, "a warm sandbox was dead");
        }
        Tried::Dead
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(hand_out) = self.hand_out.take() {
            self.shared.engine().dead(&hand_out.id, Tick::now());
            self.shared.work.notify_one();
        }
    }
}

impl Shared {
    /// Sets a shorter lifetime than stock has, in the background: if that fails, the sandbox lives for as
    /// long as stock does.
    fn shorten(&self, id: SandboxId, lifetime: Duration, below: Below) {
        let client = self.client(&below);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { drop(client.set_timeout(&id, lifetime).await) });
        }
    }

    /// Remembers a sandbox that its session may use again.
    fn uses(
        &self,
        sandbox: &Sandbox,
        wanted: Wanted,
        session: Option<&SessionOf>,
        uses: u32,
        created: Tick,
    ) {
        let Some(session) = session.filter(|_| self.may_reuse()).cloned() else { return };
        let (id, sandbox) = (sandbox.id().clone(), sandbox.clone());
        self.remember(id, Used { sandbox, wanted, session, uses: uses + 1, created });
    }
}
