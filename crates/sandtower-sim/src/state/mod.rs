//! All that changes: teams, sandboxes, snapshots, faults. It knows no request.

pub(crate) mod contexts;
pub(crate) mod keys;
pub(crate) mod process;
pub(crate) mod resume;
pub(crate) mod sandbox;
pub(crate) mod snapshots;
pub(crate) mod teams;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::body::Reserve;
use crate::clock;
use crate::config::Config;
use crate::dice::number_of;
use crate::fault::FaultPlan;
use crate::files::{Budget, Files};
use crate::ledger::{CreateCounts, End, Ended, Ledger};
use crate::lock::lock;
use crate::response::ApiError;
use crate::runner::{Event, Runner, Signal};

use keys::Keys;
use sandbox::{Life, Sandbox, Settings};
use snapshots::Snapshots;
use teams::Teams;

/// Sandboxes that are paused at a time; more than that are not kept.
const MAX_PAUSED: usize = 10_000;

/// What all handles and all work in progress share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) began: Instant,
    pub(crate) state: Mutex<State>,
    /// What the files of all sandboxes take.
    pub(crate) disk: Budget,
    /// What the bodies that are being read take.
    pub(crate) bodies: Reserve,
}

/// What changes.
pub(crate) struct State {
    pub(crate) teams: Teams,
    pub(crate) keys: Keys,
    pub(crate) sandboxes: BTreeMap<String, Sandbox>,
    pub(crate) snapshots: Snapshots,
    /// How often a template of this name was built anew.
    pub(crate) builds: BTreeMap<String, u64>,
    pub(crate) creates: CreateCounts,
    pub(crate) requests: BTreeMap<&'static str, u64>,
    pub(crate) connections: u64,
    pub(crate) broken_connections: u64,
    pub(crate) faults: FaultPlan,
    paused: usize,
    ends: BTreeSet<(Instant, String)>,
    ended: Ended,
}

impl Shared {
    /// The state as of now: sandboxes whose lifetime is over are not in it.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        let now = clock::now();
        while let Some((at, id)) = state.ends.first().filter(|(at, _)| *at <= now).cloned() {
            state.ends.pop_first();
            let Some(sandbox) = state.sandboxes.get(&id) else { continue };
            let (pauses, dies) = (sandbox.settings.auto_pause, sandbox.dies_at == Some(at));
            let memory = sandbox.settings.auto_pause_memory;
            let at = self.since_began(at);
            if dies {
                state.end(&id, End::Died, at);
            } else if !pauses || !state.pause(&id, memory) {
                state.end(&id, End::Lifetime, at);
            }
        }
        state
    }

    pub(crate) fn since_began(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.began)
    }

    pub(crate) fn date(&self, at: Instant) -> SystemTime {
        let epoch = self.config.epoch;
        epoch.checked_add(self.since_began(at)).unwrap_or(epoch)
    }

    pub(crate) fn ledger(&self) -> Ledger {
        let now = self.since_began(clock::now());
        let state = self.state();
        let running = state.sandboxes.values().map(|sandbox| &sandbox.record);
        let mut sandboxes: Vec<_> = state.ended.records().chain(running).cloned().collect();
        sandboxes.sort_by_key(|record| record.create);
        Ledger {
            now,
            creates: state.creates.clone(),
            requests: state.requests.clone(),
            broken_connections: state.broken_connections,
            injected: state.faults.counts(),
            active: state.running() as u64,
            paused: state.paused as u64,
            died: state.ended.died,
            killed: state.ended.killed,
            expired: state.ended.expired,
            dropped: state.ended.dropped,
            sandboxes,
        }
    }

    /// Kills a sandbox of a team; false if it has no such sandbox.
    pub(crate) fn kill(&self, id: &str, team: &str) -> bool {
        let mut state = self.state();
        let owned = state.sandboxes.get(id).is_some_and(|sandbox| &*sandbox.team == team);
        if owned {
            state.end(id, End::Killed, self.since_began(clock::now()));
        }
        owned
    }

    /// Notes that the response which names a sandbox did not reach its caller.
    pub(crate) fn note_lost_response(&self, id: &str) {
        let mut state = self.state();
        let State { sandboxes, ended, .. } = &mut *state;
        let running = sandboxes.get_mut(id).map(|sandbox| &mut sandbox.record);
        if let Some(record) = running.or_else(|| ended.find(id)) {
            record.response_lost = true;
        }
    }
}

impl State {
    pub(crate) fn new(ledger_capacity: usize, faults: FaultPlan) -> Self {
        Self {
            teams: Teams::default(),
            keys: Keys::default(),
            sandboxes: BTreeMap::new(),
            snapshots: Snapshots::default(),
            builds: BTreeMap::new(),
            creates: CreateCounts::default(),
            requests: BTreeMap::new(),
            connections: 0,
            broken_connections: 0,
            faults,
            paused: 0,
            ends: BTreeSet::new(),
            ended: Ended::new(ledger_capacity),
        }
    }

    /// Lets a sandbox run until its `end_at`.
    pub(crate) fn run(&mut self, sandbox: Sandbox) {
        let id = sandbox.record.id.clone();
        self.ends.insert((sandbox.end_at, id.clone()));
        self.sandboxes.insert(id, sandbox);
    }

    /// Moves the end of a sandbox's lifetime.
    pub(crate) fn live_until(&mut self, id: &str, end_at: Instant) {
        if let Some(sandbox) = self.sandboxes.get_mut(id) {
            self.ends.remove(&(sandbox.end_at, id.to_owned()));
            self.ends.insert((end_at, id.to_owned()));
            sandbox.live_until(end_at);
        }
    }

    /// Notes that a sandbox's team learned of it.
    pub(crate) fn note_found(&mut self, id: &str, at: Duration) {
        if let Some(sandbox) = self.sandboxes.get_mut(id) {
            sandbox.record.found_at.get_or_insert(at);
        }
    }

    /// How many sandboxes run.
    pub(crate) fn running(&self) -> usize {
        self.sandboxes.len() - self.paused
    }

    /// Lets a sandbox die before its time, whatever is asked for it.
    pub(crate) fn doom(&mut self, id: &str, at: Instant) {
        if let Some(sandbox) = self.sandboxes.get_mut(id) {
            sandbox.dies_at = Some(at);
            self.ends.insert((at, id.to_owned()));
        }
    }

    /// Pauses a sandbox that runs, with its memory or without; false if too many are paused.
    pub(crate) fn pause(&mut self, id: &str, memory: bool) -> bool {
        if self.paused >= MAX_PAUSED {
            return false;
        }
        let Some(sandbox) = self.sandboxes.get_mut(id).filter(|sandbox| !sandbox.is_paused())
        else {
            return true;
        };
        for at in [Some(sandbox.end_at), sandbox.dies_at].into_iter().flatten() {
            self.ends.remove(&(at, id.to_owned()));
        }
        self.teams.release(&sandbox.team);
        self.paused += 1;
        sandbox.life.send_replace(Life::Paused);
        sandbox.record.paused = true;
        sandbox.has_memory = memory;
        if !memory {
            sandbox.shut_down();
        }
        sandbox.note("Sandbox paused");
        true
    }

    /// Lets a paused sandbox run again until `end_at`, from its memory if it is to and has it. Its
    /// place in the quota is taken already.
    pub(crate) fn resume(&mut self, config: &Config, id: &str, end_at: Instant, memory: bool) {
        let Some(sandbox) = self.sandboxes.get_mut(id).filter(|sandbox| sandbox.is_paused()) else {
            return;
        };
        self.paused -= 1;
        for at in [Some(end_at), sandbox.dies_at].into_iter().flatten() {
            self.ends.insert((at, id.to_owned()));
        }
        sandbox.started_at = clock::now();
        sandbox.resuming = false;
        sandbox.record.paused = false;
        if !(memory && sandbox.has_memory) {
            sandbox.shut_down();
            sandbox.boot(config.seed);
        }
        sandbox.note("Sandbox resumed");
        sandbox.live_until(end_at);
    }

    fn end(&mut self, id: &str, how: End, at: Duration) {
        let Some(mut sandbox) = self.sandboxes.remove(id) else { return };
        for at in [Some(sandbox.end_at), sandbox.dies_at].into_iter().flatten() {
            self.ends.remove(&(at, id.to_owned()));
        }
        if sandbox.is_paused() {
            self.paused -= 1;
        } else {
            self.teams.release(&sandbox.team);
        }
        sandbox.life.send_replace(Life::Over);
        sandbox.files.end();
        sandbox.record.end = how;
        sandbox.record.paused = false;
        sandbox.record.ended_at = Some(at);
        self.ended.push(sandbox.record);
    }
}

pub(crate) fn over_quota(limit: u32) -> ApiError {
    let message = format!(
        "you have reached the maximum number of concurrent E2B sandboxes ({limit}). \
         If you need more, please contact support"
    );
    ApiError::new(429, message)
}

/// The sandbox of a team.
pub(crate) fn owned<'a>(state: &'a State, team: &str, id: &str) -> Result<&'a Sandbox, ApiError> {
    let sandbox = state.sandboxes.get(id).filter(|sandbox| &*sandbox.team == team);
    sandbox.ok_or_else(|| no_such(id))
}

pub(crate) fn no_such(id: &str) -> ApiError {
    let message = format!("Sandbox \"{id}\" doesn't exist or you don't have access to it");
    ApiError::new(404, message)
}
