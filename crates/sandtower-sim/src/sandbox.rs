//! A sandbox that runs, and how the control plane describes it.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use tokio::{sync::watch, time::Instant};

use crate::{date, ledger::SandboxRecord, sim::Shared};

/// The version of envd whose answers are simulated.
pub(crate) const ENVD_VERSION: &str = "0.6.13";

const CLIENT_ID: &str = "6532622b";
const CPU_COUNT: u32 = 2;
const MEMORY_MB: u32 = 512;
const DISK_SIZE_MB: u32 = 1024;

/// Processes that one sandbox runs at a time.
const MAX_PROCESSES: u32 = 256;

/// A sandbox that runs.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// The API key of the team that it belongs to.
    pub(crate) team: Arc<str>,
    pub(crate) template_id: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) env_vars: BTreeMap<String, String>,
    pub(crate) access_token: Option<String>,
    pub(crate) started_at: Instant,
    pub(crate) end_at: Instant,
    /// Told to whoever works inside it.
    pub(crate) life: watch::Sender<Life>,
    pub(crate) record: SandboxRecord,
    pub(crate) processes: u32,
    pub(crate) last_pid: u32,
}

/// Whether a sandbox runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Until(Instant),
    Over,
}

impl Sandbox {
    /// Sets when the lifetime is over.
    pub(crate) fn live_until(&mut self, end_at: Instant) {
        self.end_at = end_at;
        self.life.send_replace(Life::Until(end_at));
    }

    /// The number of a new process, or `None` if there are too many.
    pub(crate) fn fork(&mut self) -> Option<u32> {
        if self.processes >= MAX_PROCESSES {
            return None;
        }
        self.processes += 1;
        self.last_pid = self.last_pid.wrapping_add(1).max(1);
        Some(self.last_pid)
    }

    /// What a caller gets who creates it or connects to it.
    pub(crate) fn brief(&self) -> Brief {
        Brief {
            template_id: self.template_id.clone(),
            sandbox_id: self.record.id.clone(),
            alias: self.record.template.clone(),
            client_id: CLIENT_ID,
            envd_version: ENVD_VERSION,
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
            state: "running",
            envd_version: ENVD_VERSION,
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
    envd_version: &'static str,
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
    envd_version: &'static str,
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
