//! `POST /sandboxes`, `POST /v2/sandboxes`: 201 with a sandbox of a template or of a snapshot. The first
//! version lives 15 s by default, the second 300 s, is secured, and takes an `Idempotency-Key`.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::time;

use super::route::Version;
use super::*;
use crate::config::Template;
use crate::fault::InjectedCreation;
use crate::files::Files;
use crate::ledger::SandboxRecord;
use crate::placement::Placement;
use crate::request::NamesSandbox;
use crate::state::keys::{self, Key, Outcome as KeyOutcome};
use crate::state::sandbox::{Life, Settings};
use crate::state::{State, over_quota};

const DEFAULT_TIMEOUT_V1: i32 = 15;
const DEFAULT_TIMEOUT_V2: i32 = 300;

/// How much of a call's name the ledger keeps.
const MAX_CALL_CHARS: usize = 128;

/// The body of a creation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewSandbox {
    #[serde(rename = "templateID")]
    template_id: String,
    timeout: Option<i32>,
    metadata: Option<BTreeMap<String, String>>,
    env_vars: Option<BTreeMap<String, String>>,
    secure: Option<bool>,
    auto_pause: Option<bool>,
    auto_pause_memory: Option<bool>,
    auto_resume: Option<AutoResume>,
    network: Option<Map<String, Value>>,
    #[serde(rename = "allow_internet_access")]
    allow_internet_access: Option<bool>,
}

/// Whether traffic resumes a sandbox: a truth, or one in an object.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum AutoResume {
    Plain(bool),
    Object { enabled: bool },
}

/// A creation that has been let in: what it will become if it succeeds.
pub(super) struct Draft {
    pub(super) number: u64,
    pub(super) team: Arc<str>,
    pub(super) settings: Settings,
    pub(super) lifetime: Duration,
    /// The files that it starts with, and whether it boots from them.
    pub(super) files: Option<(Files, bool)>,
    pub(super) call: Option<String>,
    pub(super) key: Option<Key>,
}

/// A sandbox that was created, and the response that names it.
type Created = (String, Bytes);

pub(super) async fn create(call: Call<'_>, version: Version) -> Outcome {
    let draft = draft(call, version, call.parse()?)?;
    if let Some(key) = &draft.key
        && let Some(earlier) = call.sim.state().keys.begin(key, keys::fingerprint(call.body))?
    {
        return Ok(response::json_text(201, earlier));
    }
    let (id, json) = launch(call.sim, draft).await?;
    let mut response = response::json_text(201, json);
    response.extensions_mut().insert(NamesSandbox(id));
    Ok(response)
}

/// Creates a sandbox, or says why not. The work goes on when its caller goes away.
pub(super) async fn launch(sim: &Arc<Shared>, draft: Draft) -> Result<Created, ApiError> {
    let (placement, injected) = admit(sim, &draft)?;
    let (told, outcome) = oneshot::channel();
    tokio::spawn(place(Arc::clone(sim), draft, placement, injected, told));
    match outcome.await {
        Ok(Ok(created)) => Ok(created),
        Ok(Err(failure)) => Err(failure.error()),
        // Its task has ended without a word: there is a bug in here.
        Err(_) => Err(ApiError::new(500, "Internal server error").code("internal_server_error")),
    }
}

fn draft(call: Call<'_>, version: Version, new: NewSandbox) -> Result<Draft, ApiError> {
    let sim = call.sim;
    let (default_timeout, default_secure) = match version {
        Version::One => (DEFAULT_TIMEOUT_V1, false),
        Version::Two => (DEFAULT_TIMEOUT_V2, true),
    };
    let lifetime = call.new_lifetime(new.timeout.unwrap_or(default_timeout))?;
    let auto_resume = matches!(
        new.auto_resume,
        Some(AutoResume::Plain(true) | AutoResume::Object { enabled: true })
    );
    let auto_pause_memory = new.auto_pause_memory.unwrap_or(true);
    if auto_resume && !auto_pause_memory {
        let message = "autoResume cannot be combined with autoPauseMemory set to false";
        return Err(ApiError::bad_request(message));
    }
    let (settings, files) = source(sim, call.team, &new.template_id)?;
    let settings = Settings {
        metadata: new.metadata.unwrap_or_default(),
        env_vars: new.env_vars.unwrap_or_default(),
        secure: new.secure.unwrap_or(default_secure),
        auto_pause: new.auto_pause.unwrap_or(false),
        auto_pause_memory,
        auto_resume,
        allow_internet_access: new.allow_internet_access,
        network: new.network.map(Value::Object),
        ..settings
    };
    let key = match version {
        Version::One => None,
        Version::Two => keys::key(&call.parts.headers, call.team)?,
    };
    Ok(Draft {
        number: call.number,
        team: Arc::clone(call.team),
        lifetime,
        files,
        call: name_of_call(sim, &settings, &call.parts.headers),
        settings,
        key,
    })
}

/// What the ledger calls the call that a creation is for.
fn name_of_call(sim: &Shared, settings: &Settings, headers: &HeaderMap) -> Option<String> {
    let name = sim.config.call_key.as_str();
    let header = || headers.get(name).and_then(|value| value.to_str().ok());
    let call = settings.metadata.get(name).map(String::as_str).or_else(header);
    call.map(|call| call.chars().take(MAX_CALL_CHARS).collect())
}

/// The template or the snapshot of this name or id: what a sandbox of it starts with.
fn source(
    sim: &Shared,
    team: &str,
    identifier: &str,
) -> Result<(Settings, Option<(Files, bool)>), ApiError> {
    let mut templates = sim.config.templates.iter();
    let plain = identifier.strip_suffix(":default").unwrap_or(identifier);
    let template = templates.find(|(name, template)| *name == plain || template.id == plain);
    if let Some((name, Template { id, envd_version })) = template {
        let (template, template_id) = (name.clone(), id.clone());
        let envd_version = envd_version.clone();
        return Ok((Settings { template, template_id, envd_version, ..Settings::default() }, None));
    }
    let state = sim.state();
    let Some((_, snapshot)) = state.snapshots.find(team, identifier) else {
        let message = format!("template '{identifier}' not found");
        return Err(ApiError::new(404, message));
    };
    let Ok(files) = snapshot.files.fork() else { return Err(Failure::NoCapacity.error()) };
    let settings = Settings {
        template: snapshot.settings.template.clone(),
        template_id: snapshot.template_id.clone(),
        envd_version: snapshot.settings.envd_version.clone(),
        ..Settings::default()
    };
    Ok((settings, Some((files, !snapshot.has_memory))))
}

/// Lets a creation in if quota and capacity allow it, and decides its fate.
fn admit(sim: &Shared, draft: &Draft) -> Result<(Placement, InjectedCreation), ApiError> {
    let (config, mut state) = (&sim.config, sim.state());
    if !state.teams.reserve(&draft.team, &config.limits) {
        state.creates.over_quota += 1;
        draft.complete(&mut state, KeyOutcome::Failed);
        return Err(over_quota(config.limits.concurrent_sandboxes));
    }
    let now = clock::now();
    let slots = config.world.slots.get();
    let slots = state.faults.slots(now).map_or(slots, |fewer| fewer.min(slots));
    let taken = state.running() + state.creates.in_flight as usize;
    if taken >= slots as usize {
        state.teams.release(&draft.team);
        draft.complete(&mut state, KeyOutcome::Failed);
        return Err(Failure::NoCapacity.error());
    }
    let injected = state.faults.inject_creation(config.seed, draft.number, now);
    let creates = &mut state.creates;
    creates.in_flight += 1;
    creates.max_in_flight = creates.max_in_flight.max(creates.in_flight);
    let mut dice = dice(config.seed, Subject::Creation, draft.number);
    let mut placement = Placement::draw(&config.world, creates.in_flight, &mut dice);
    placement.zombie |= injected.zombie;
    if let Some(later) = injected.commits_late {
        placement.latency = config.world.api_deadline.saturating_add(later);
        placement.failure = None;
        placement.commits_late = true;
    }
    Ok((placement, injected))
}

type Told = oneshot::Sender<Result<Created, Failure>>;

/// The work of a creation, done when its latency is over.
async fn place(
    sim: Arc<Shared>,
    draft: Draft,
    placement: Placement,
    injected: InjectedCreation,
    told: Told,
) {
    let world = &sim.config.world;
    let late_work = world.late_work.max(injected.commits_late.unwrap_or_default());
    let longest = world.api_deadline.saturating_add(late_work);
    time::sleep(placement.latency.min(longest)).await;
    let mut state = sim.state();
    state.creates.in_flight = state.creates.in_flight.saturating_sub(1);
    let late = told.is_closed();
    if let Some(failure) = placement.failure {
        state.teams.release(&draft.team);
        draft.complete(&mut state, KeyOutcome::Failed);
        // There is no listener if the API has timed out.
        drop(told.send(Err(failure)));
        return;
    }
    let dropped = placement.latency > longest;
    if dropped || late && !placement.commits_late {
        state.teams.release(&draft.team);
        draft.complete(&mut state, KeyOutcome::Unknown);
        return;
    }
    state.creates.created += 1;
    state.creates.created_late += u64::from(late);
    let key = draft.key.clone();
    let mut sandbox = commit(&sim, &state, draft, placement.zombie, late);
    sandbox.listed_from = clock::after(sandbox.started_at, injected.lags);
    let dies_at = injected.dies.map(|dies| clock::after(sandbox.started_at, dies));
    let (id, json) = (sandbox.record.id.clone(), response::to_json(&describe::brief(&sandbox)));
    key.iter().for_each(|key| state.keys.complete(key, KeyOutcome::Created(json.clone())));
    state.run(sandbox);
    dies_at.into_iter().for_each(|at| state.doom(&id, at));
    drop(told.send(Ok((id, json))));
}

fn commit(sim: &Shared, state: &State, draft: Draft, zombie: bool, late: bool) -> Sandbox {
    let mut dice = dice(!sim.config.seed, Subject::Creation, draft.number);
    let id = std::iter::repeat_with(|| format!("i{}", letters(&mut dice, 20)))
        .find(|id| !state.sandboxes.contains_key(id))
        .unwrap_or_default();
    let now = clock::now();
    let end_at = clock::after(now, draft.lifetime);
    let (config, settings) = (&sim.config, draft.settings);
    let (files, boots) = draft.files.unwrap_or_else(|| (Files::new(sim.disk.clone()), true));
    let mut sandbox = Sandbox {
        team: draft.team,
        access_token: settings.secure.then(|| letters(&mut dice, 40)),
        traffic_token: settings.is_private().then(|| letters(&mut dice, 40)),
        started_at: now,
        end_at,
        life: watch::Sender::new(Life::Until(end_at)),
        record: SandboxRecord {
            id,
            create: draft.number,
            call: draft.call,
            template: settings.template.clone(),
            created_at: sim.since_began(now),
            zombie,
            response_lost: late,
            ..SandboxRecord::default()
        },
        settings,
        dies_at: None,
        files,
        processes: BTreeMap::new(),
        contexts: Arc::default(),
        last_pid: 0,
        lifetime: draft.lifetime,
        resuming: false,
        has_memory: true,
        boots: 0,
        listed_from: now,
        log: VecDeque::new(),
    };
    if boots {
        sandbox.boot(config.seed);
    }
    sandbox.note("Sandbox started");
    sandbox
}

impl Draft {
    /// Notes what became of it for its idempotency key.
    fn complete(&self, state: &mut State, outcome: KeyOutcome) {
        if let Some(key) = &self.key {
            state.keys.complete(key, outcome);
        }
    }
}
