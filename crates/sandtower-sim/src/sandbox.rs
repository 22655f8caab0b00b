//! A sandbox that runs or is paused, and how the control plane describes it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;
use tokio::{
    select,
    sync::watch::{self, error::RecvError},
    time::{self, Instant},
};

use crate::{
    clock, date, envd::Process, files::Files, interpreter::Contexts, ledger::SandboxRecord,
    sim::Shared,
};

/// The version of envd whose answers are simulated.
pub(crate) const ENVD_VERSION: &str = "0.6.13";

const CLIENT_ID: &str = "6532622b";
pub(crate) const CPU_COUNT: u32 = 2;
pub(crate) const MEMORY_MB: u32 = 512;
pub(crate) const DISK_SIZE_MB: u32 = 1024;

/// Processes that one sandbox runs at a time.
const MAX_PROCESSES: usize = 256;

/// What the log of a sandbox keeps.
const MAX_LOG: usize = 100;

/// A sandbox that runs or is paused.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// The API key of the team that it belongs to.
    pub(crate) team: Arc<str>,
    pub(crate) template_id: String,
    pub(crate) envd_version: Cow<'static, str>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) env_vars: BTreeMap<String, String>,
    pub(crate) access_token: Option<String>,
    pub(crate) started_at: Instant,
    pub(crate) end_at: Instant,
    /// When it dies before its time, if it does.
    pub(crate) dies_at: Option<Instant>,
    /// Told to whoever works inside it.
    pub(crate) life: watch::Sender<Life>,
    pub(crate) record: SandboxRecord,
    pub(crate) files: Files,
    pub(crate) processes: BTreeMap<u32, Arc<Process>>,
    pub(crate) contexts: Arc<Mutex<Contexts>>,
    pub(crate) last_pid: u32,
    /// The lifetime that it was created with.
    pub(crate) lifetime: Duration,
    /// Whether it is paused, and not killed, when its lifetime is over.
    pub(crate) auto_pause: bool,
    /// Whether traffic to it resumes it.
    pub(crate) auto_resume: bool,
    /// Whether it is being resumed.
    pub(crate) resuming: bool,
    /// From when on lists tell of it.
    pub(crate) listed_from: Instant,
    pub(crate) log: VecDeque<(Instant, &'static str)>,
}

/// Whether a sandbox runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Until(Instant),
    Paused,
    Over,
}

/// Returns when a sandbox's life has changed, or should have: whoever asks for the state then
/// ends what is to end.
pub(crate) async fn changed(
    sim: &Shared,
    life: &mut watch::Receiver<Life>,
) -> Result<(), RecvError> {
    let Life::Until(end) = *life.borrow_and_update() else { return life.changed().await };
    select! {
        biased;
        changed = life.changed() => changed,
        () = time::sleep_until(end) => {
            drop(sim.state());
            Ok(())
        }
    }
}

/// Returns when a sandbox has ended, however its end may be moved until then.
pub(crate) async fn over(sim: &Shared, life: &mut watch::Receiver<Life>) {
    while *life.borrow_and_update() != Life::Over {
        if changed(sim, life).await.is_err() {
            return;
        }
    }
}

/// Returns when a sandbox has ended or was paused: its connections are gone.
pub(crate) async fn stopped(sim: &Shared, life: &mut watch::Receiver<Life>) {
    while matches!(*life.borrow_and_update(), Life::Until(_)) {
        if changed(sim, life).await.is_err() {
            return;
        }
    }
}

impl Sandbox {
    /// Sets when the lifetime is over.
    pub(crate) fn live_until(&mut self, end_at: Instant) {
        self.end_at = end_at;
        self.life.send_replace(Life::Until(end_at));
    }

    pub(crate) fn is_paused(&self) -> bool {
        *self.life.borrow() == Life::Paused
    }

    /// The number of a new process, or `None` if there are too many.
    pub(crate) fn next_pid(&mut self) -> Option<u32> {
        if self.processes.len() >= MAX_PROCESSES {
            return None;
        }
        loop {
            self.last_pid = self.last_pid.wrapping_add(1).max(1);
            if !self.processes.contains_key(&self.last_pid) {
                return Some(self.last_pid);
            }
        }
    }

    /// Whether a code interpreter listens in it.
    pub(crate) fn interprets(&self) -> bool {
        self.record.template.starts_with("code-interpreter")
    }

    /// Writes a line to its log.
    pub(crate) fn note(&mut self, line: &'static str) {
        if self.log.len() >= MAX_LOG {
            self.log.pop_front();
        }
        self.log.push_back((clock::now(), line));
    }

    /// What a caller gets who creates it or connects to it.
    pub(crate) fn brief(&self) -> Brief {
        Brief {
            template_id: self.template_id.clone(),
            sandbox_id: self.record.id.clone(),
            alias: self.record.template.clone(),
            client_id: CLIENT_ID,
            envd_version: self.envd_version.clone(),
            envd_access_token: self.access_token.clone(),
            traffic_access_token: None,
            domain: None,
        }
    }

    /// What a list tells about it.
    pub(crate) fn listed(&self, sim: &Shared) -> Listed {
        Listed {
            template_id: self.template_id.clone(),
            alias: self.record.template.clone(),
            sandbox_id: self.record.id.clone(),
            client_id: CLIENT_ID,
            started_at: date::rfc3339(sim.date(self.started_at)),
            end_at: date::rfc3339(sim.date(self.end_at)),
            cpu_count: CPU_COUNT,
            memory_mb: MEMORY_MB,
            disk_size_mb: DISK_SIZE_MB,
            metadata: self.metadata.clone(),
            state: if self.is_paused() { "paused" } else { "running" },
            envd_version: self.envd_version.clone(),
        }
    }

    /// What is told about it alone.
    pub(crate) fn detail(&self, sim: &Shared) -> Detail {
        Detail {
            listed: self.listed(sim),
            envd_access_token: self.access_token.clone(),
            traffic_access_token: None,
            domain: None,
        }
    }
}

/// What a caller gets who creates a sandbox or connects to one.
#[derive(Debug, Serialize)]
pub(crate) struct Brief {
    #[serde(rename = "templateID")]
    template_id: String,
    #[serde(rename = "sandboxID")]
    sandbox_id: String,
    alias: String,
    #[serde(rename = "clientID")]
    client_id: &'static str,
    #[serde(rename = "envdVersion")]
    envd_version: Cow<'static, str>,
    #[serde(rename = "envdAccessToken")]
    envd_access_token: Option<String>,
    #[serde(rename = "trafficAccessToken")]
    traffic_access_token: Option<String>,
    domain: Option<String>,
}

/// What a list tells about a sandbox.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    #[serde(rename = "templateID")]
    template_id: String,
    alias: String,
    #[serde(rename = "sandboxID")]
    sandbox_id: String,
    #[serde(rename = "clientID")]
    client_id: &'static str,
    #[serde(rename = "startedAt")]
    started_at: String,
    #[serde(rename = "endAt")]
    end_at: String,
    #[serde(rename = "cpuCount")]
    cpu_count: u32,
    #[serde(rename = "memoryMB")]
    memory_mb: u32,
    #[serde(rename = "diskSizeMB")]
    disk_size_mb: u32,
    metadata: BTreeMap<String, String>,
    state: &'static str,
    #[serde(rename = "envdVersion")]
    envd_version: Cow<'static, str>,
}

/// What is told about one sandbox alone.
#[derive(Debug, Serialize)]
pub(crate) struct Detail {
    #[serde(flatten)]
    listed: Listed,
    #[serde(rename = "envdAccessToken")]
    envd_access_token: Option<String>,
    #[serde(rename = "trafficAccessToken")]
    traffic_access_token: Option<String>,
    domain: Option<String>,
}
