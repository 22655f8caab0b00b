//! A sandbox that runs or is paused.

use serde_json::Value;
use tokio::select;
use tokio::sync::watch::error::RecvError;
use tokio::time;

use super::contexts::Contexts;
use super::process::Process;
use super::*;
use crate::dice::{Subject, dice, uuid};
use crate::ledger::SandboxRecord;

pub(crate) const CPU_COUNT: u32 = 2;
pub(crate) const MEMORY_MB: u32 = 512;
pub(crate) const DISK_SIZE_MB: u32 = 1024;

/// Processes that one sandbox runs at a time.
const MAX_PROCESSES: usize = 256;

/// What the log of a sandbox keeps.
const MAX_LOG: usize = 100;

/// What a sandbox is created with, and what its forks get from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// The template's name.
    pub(crate) template: String,
    pub(crate) template_id: String,
    pub(crate) envd_version: Arc<str>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) env_vars: BTreeMap<String, String>,
    pub(crate) secure: bool,
    /// Whether it is paused, and not killed, when its lifetime is over.
    pub(crate) auto_pause: bool,
    /// Whether such a pause keeps its memory.
    pub(crate) auto_pause_memory: bool,
    /// Whether traffic to it resumes it.
    pub(crate) auto_resume: bool,
    pub(crate) allow_internet_access: Option<bool>,
    pub(crate) network: Option<Value>,
}

impl Settings {
    /// Whether ports other than envd's ask for a token.
    pub(crate) fn is_private(&self) -> bool {
        let network = self.network.as_ref();
        network.is_some_and(|network| network["allowPublicTraffic"] == Value::Bool(false))
    }
}

/// A sandbox that runs or is paused.
pub(crate) struct Sandbox {
    /// The API key of the team that it belongs to.
    pub(crate) team: Arc<str>,
    pub(crate) settings: Settings,
    pub(crate) access_token: Option<String>,
    pub(crate) traffic_token: Option<String>,
    pub(crate) started_at: Instant,
    pub(crate) end_at: Instant,
    /// When it dies before its time, if it does.
    pub(crate) dies_at: Option<Instant>,
    /// For whatever works inside it.
    pub(crate) life: watch::Sender<Life>,
    pub(crate) record: SandboxRecord,
    pub(crate) files: Files,
    pub(crate) processes: BTreeMap<u32, Arc<Process>>,
    pub(crate) contexts: Arc<Mutex<Contexts>>,
    pub(crate) last_pid: u32,
    /// The lifetime that it was created with.
    pub(crate) lifetime: Duration,
    /// Whether it is being resumed.
    pub(crate) resuming: bool,
    /// Whether its last pause kept its memory.
    pub(crate) has_memory: bool,
    pub(crate) boots: u64,
    /// From when on lists contain it.
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

    /// Ends all that runs in it, and whatever was in its memory.
    pub(crate) fn shut_down(&mut self) {
        for process in std::mem::take(&mut self.processes).into_values() {
            process.send(Event::Signal(Signal::Kill));
        }
        self.contexts = Arc::default();
        self.last_pid = 0;
    }

    /// Boots it from its disk.
    pub(crate) fn boot(&mut self, seed: u64) {
        self.boots += 1;
        let number = number_of(&self.record.id).wrapping_add(self.boots);
        self.files.boot(uuid(&mut dice(seed, Subject::Boot, number)));
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
        self.settings.template.starts_with("code-interpreter")
    }

    /// Writes a line to its log.
    pub(crate) fn note(&mut self, line: &'static str) {
        if self.log.len() >= MAX_LOG {
            self.log.pop_front();
        }
        self.log.push_back((clock::now(), line));
    }
}
