//! Creating a sandbox.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use tokio::{
    sync::{oneshot, watch},
    time,
};

use super::{
    idempotency::{self, Key},
    lifecycle, parse,
    route::Version,
};
use crate::{
    answer::{self, ApiError},
    body::Body,
    clock,
    config::Template,
    dice::{Subject, dice, letters},
    fault::Curse,
    files::Files,
    ledger::{End, SandboxRecord},
    placement::{Failure, Placement},
    sandbox::{Life, Sandbox},
    service::NamesSandbox,
    sim::{Shared, State},
};

const DEFAULT_TIMEOUT_V1: Duration = Duration::from_secs(15);
const DEFAULT_TIMEOUT_V2: Duration = Duration::from_secs(300);

/// How much of a call's name the ledger keeps.
const MAX_CALL_CHARS: usize = 128;

/// Who asks for a sandbox, and which request it is.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) number: u64,
    pub(super) version: Version,
    pub(super) team: &'a Arc<str>,
}

/// The body of a creation; what is not simulated yet is not looked at.
#[derive(Debug, Deserialize)]
struct NewSandbox {
    #[serde(rename = "templateID")]
    template_id: String,
    timeout: Option<i64>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "envVars")]
    env_vars: Option<BTreeMap<String, String>>,
    secure: Option<bool>,
    #[serde(default, rename = "autoPause")]
    auto_pause: Option<bool>,
    #[serde(default, rename = "autoResume")]
    auto_resume: Option<AutoResume>,
}

/// Whether traffic resumes a sandbox: a truth, or one in an object.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum AutoResume {
    Plain(bool),
    Object { enabled: bool },
}

/// A creation that has been let in: what it will become if it succeeds.
#[derive(Debug)]
struct Draft {
    number: u64,
    team: Arc<str>,
    template: String,
    template_id: String,
    envd_version: Cow<'static, str>,
    metadata: BTreeMap<String, String>,
    env_vars: BTreeMap<String, String>,
    lifetime: Duration,
    secure: bool,
    auto_pause: bool,
    auto_resume: bool,
    call: Option<String>,
    key: Option<Key>,
}

/// Creates a sandbox, or says why not.
pub(super) async fn create(
    sim: &Arc<Shared>,
    asked: Asked<'_>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response<Body>, ApiError> {
    let draft = draft(sim, asked, headers, parse(body)?)?;
    if let Some(answer) = earlier(sim, &draft, body)? {
        return Ok(answer::json_text(StatusCode::CREATED, answer));
    }
    let (placement, curse) = admit(sim, &draft)?;
    let (told, outcome) = oneshot::channel();
    // A task of its own: placing goes on when the API gives up on it.
    tokio::spawn(place(Arc::clone(sim), draft, placement, curse, told));
    match outcome.await {
        Ok(Ok((id, answer))) => {
            let mut answer = answer::json_text(StatusCode::CREATED, answer);
            answer.extensions_mut().insert(NamesSandbox(id));
            Ok(answer)
        }
        Ok(Err(failure)) => Err(failure.error()),
        Err(_) => Err(internal_error()),
    }
}

/// The answer of an earlier request with the same key.
fn earlier(sim: &Shared, draft: &Draft, body: &[u8]) -> Result<Option<Bytes>, ApiError> {
    match &draft.key {
        Some(key) => sim.state().keys.begin(key, idempotency::fingerprint(body)),
        None => Ok(None),
    }
}

fn draft(
    sim: &Shared,
    asked: Asked<'_>,
    headers: &HeaderMap,
    new: NewSandbox,
) -> Result<Draft, ApiError> {
    let (default_timeout, default_secure) = match asked.version {
        Version::One => (DEFAULT_TIMEOUT_V1, false),
        Version::Two => (DEFAULT_TIMEOUT_V2, true),
    };
    let lifetime = lifecycle::lifetime(sim, new.timeout)?.unwrap_or(default_timeout);
    let (template, Template { id: template_id, envd_version }) = template(sim, &new.template_id)?;
    let metadata = new.metadata.unwrap_or_default();
    let key = sim.config.call_key.as_str();
    let header = || headers.get(key).and_then(|value| value.to_str().ok());
    let idempotency = match asked.version {
        Version::One => None,
        Version::Two => idempotency::key(headers, asked.team)?,
    };
    let call = metadata.get(key).map(String::as_str).or_else(header);
    Ok(Draft {
        number: asked.number,
        team: Arc::clone(asked.team),
        template,
        template_id,
        envd_version,
        call: call.map(|call| call.chars().take(MAX_CALL_CHARS).collect()),
        metadata,
        env_vars: new.env_vars.unwrap_or_default(),
        lifetime,
        secure: new.secure.unwrap_or(default_secure),
        auto_pause: new.auto_pause.unwrap_or(false),
        auto_resume: matches!(
            new.auto_resume,
            Some(AutoResume::Plain(true) | AutoResume::Object { enabled: true })
        ),
        key: idempotency,
    })
}

/// A template and its name, given its name or its id.
fn template(sim: &Shared, asked: &str) -> Result<(String, Template), ApiError> {
    let mut templates = sim.config.templates.iter();
    match templates.find(|(name, template)| *name == asked || template.id == asked) {
        Some((name, template)) => Ok((name.clone(), template.clone())),
        None => Err(ApiError::new(StatusCode::NOT_FOUND, format!("template '{asked}' not found"))),
    }
}

/// Lets a creation in if quota and capacity allow it, and decides its fate.
fn admit(sim: &Shared, draft: &Draft) -> Result<(Placement, Curse), ApiError> {
    let (config, mut state) = (&sim.config, sim.state());
    if !state.teams.reserve(&draft.team, &config.limits) {
        state.creates.over_quota += 1;
        draft.failed(&mut state);
        return Err(over_quota(config.limits.concurrent_sandboxes));
    }
    let now = clock::now();
    let slots = config.world.slots.get();
    let slots = state.faults.slots(now).map_or(slots, |fewer| fewer.min(slots));
    let taken = state.running() + state.creates.in_flight as usize;
    if taken >= slots as usize {
        state.teams.release(&draft.team);
        draft.failed(&mut state);
        return Err(Failure::NoCapacity.error());
    }
    let curse = state.faults.curse(config.seed, draft.number, now);
    let creates = &mut state.creates;
    creates.in_flight += 1;
    creates.max_in_flight = creates.max_in_flight.max(creates.in_flight);
    let mut dice = dice(config.seed, Subject::Creation, draft.number);
    let mut placement = Placement::draw(&config.world, creates.in_flight, &mut dice);
    placement.zombie |= curse.zombie;
    if let Some(later) = curse.commits_late {
        placement.latency = config.world.api_deadline.saturating_add(later);
        placement.failure = None;
        placement.commits_late = true;
    }
    Ok((placement, curse))
}

type Told = oneshot::Sender<Result<(String, Bytes), Failure>>;

/// The work of a creation, done when its latency is over.
async fn place(sim: Arc<Shared>, draft: Draft, placement: Placement, curse: Curse, told: Told) {
    let world = &sim.config.world;
    let late_work = world.late_work.max(curse.commits_late.unwrap_or_default());
    let longest = world.api_deadline.saturating_add(late_work);
    time::sleep(placement.latency.min(longest)).await;
    let mut state = sim.state();
    state.creates.in_flight = state.creates.in_flight.saturating_sub(1);
    let late = told.is_closed();
    if let Some(failure) = placement.failure {
        state.teams.release(&draft.team);
        draft.failed(&mut state);
        // Nobody listens if the API has given up.
        drop(told.send(Err(failure)));
        return;
    }
    let dropped = placement.latency > longest;
    if dropped || late && !placement.commits_late {
        state.teams.release(&draft.team);
        draft.key.iter().for_each(|key| state.keys.unknown(key));
        return;
    }
    state.creates.created += 1;
    state.creates.created_late += u64::from(late);
    let key = draft.key.clone();
    let mut sandbox = commit(&sim, &state, draft, placement.zombie, late);
    sandbox.listed_from = clock::after(sandbox.started_at, curse.lags);
    let dies_at = curse.dies.map(|dies| clock::after(sandbox.started_at, dies));
    let (id, answer) = (sandbox.record.id.clone(), answer::to_json(&sandbox.brief()));
    key.iter().for_each(|key| state.keys.created(key, answer.clone()));
    state.run(sandbox);
    dies_at.into_iter().for_each(|at| state.doom(&id, at));
    drop(told.send(Ok((id, answer))));
}

fn commit(sim: &Shared, state: &State, draft: Draft, zombie: bool, late: bool) -> Sandbox {
    let mut dice = dice(!sim.config.seed, Subject::Creation, draft.number);
    let id = std::iter::repeat_with(|| format!("i{}", letters(&mut dice, 20)))
        .find(|id| !state.sandboxes.contains_key(id))
        .unwrap_or_default();
    let now = clock::now();
    let end_at = clock::after(now, draft.lifetime);
    let mut sandbox = Sandbox {
        team: draft.team,
        template_id: draft.template_id,
        envd_version: draft.envd_version,
        metadata: draft.metadata,
        env_vars: draft.env_vars,
        access_token: draft.secure.then(|| letters(&mut dice, 40)),
        started_at: now,
        end_at,
        life: watch::Sender::new(Life::Until(end_at)),
        record: SandboxRecord {
            id,
            create: draft.number,
            call: draft.call,
            template: draft.template,
            created_at: sim.since_began(now),
            found_at: None,
            seen_alive_at: None,
            ended_at: None,
            end: End::StillRunning,
            paused: false,
            zombie,
            answer_lost: late,
        },
        dies_at: None,
        files: Files::new(sim.disk.clone()),
        processes: BTreeMap::new(),
        contexts: Arc::default(),
        last_pid: 0,
        lifetime: draft.lifetime,
        auto_pause: draft.auto_pause,
        auto_resume: draft.auto_resume,
        resuming: false,
        listed_from: now,
        log: VecDeque::new(),
    };
    sandbox.note("Sandbox started");
    sandbox
}

impl Draft {
    /// Its key may be used again.
    fn failed(&self, state: &mut State) {
        self.key.iter().for_each(|key| state.keys.failed(key));
    }
}

pub(super) fn over_quota(limit: u32) -> ApiError {
    let message = format!(
        "you have reached the maximum number of concurrent E2B sandboxes ({limit}). \
         If you need more, please contact support"
    );
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, message)
}

fn internal_error() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
        .code("internal_server_error")
}
