//! One line of JSON for each notable request.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use sandtower::core::{Explanation, Tick};
use serde::Serialize;

use crate::config::{self, Logged};
use crate::keys::TenantId;
use crate::recent::{RecentRequest, RecentRequests, cut};

/// Lines that wait to be written; beyond, they are dropped and counted: a slow disk slows down no request.
const WAITING: usize = 8_192;

/// Writes the lines in a thread of its own. Clones write to the same place.
#[derive(Clone)]
pub(crate) struct AccessLog {
    lines: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
    recent: Arc<RecentRequests>,
}

impl AccessLog {
    /// Writes to `output` until the last clone is gone.
    pub(crate) fn new(output: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("access-log".to_owned());
        thread.spawn(move || write_all(&waiting, output))?;
        Ok(Self { lines, dropped: Arc::default(), recent: Arc::default() })
    }

    /// How many lines were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The notable requests of late.
    pub(crate) fn recent(&self) -> &RecentRequests {
        &self.recent
    }

    fn write(&self, line: Vec<u8>) {
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_all(lines: &Receiver<Vec<u8>>, mut output: impl Write) {
    while let Ok(line) = lines.recv() {
        let mut next = Some(line);
        while let Some(line) = next {
            // Without an output there is no one to read it.
            drop(output.write_all(&line));
            next = lines.try_recv().ok();
        }
        drop(output.flush());
    }
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

/// What is known of one request; written when its response has ended.
pub(crate) struct Record {
    log: AccessLog,
    logged: Logged,
    slow: Duration,
    began: Tick,
    pub(crate) client: IpAddr,
    pub(crate) method: http::Method,
    pub(crate) version: http::Version,
    /// Without its query: that may hold a signature.
    pub(crate) path: String,
    pub(crate) request_id: Option<http::HeaderValue>,
    pub(crate) operation: &'static str,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) sandbox: Option<String>,
    pub(crate) status: u16,
    pub(crate) explanation: Option<Explanation>,
    pub(crate) reason: Option<&'static str>,
    /// The place that served it, if that is not home.
    pub(crate) place: Option<Arc<str>>,
    pub(crate) bytes: u64,
    pub(crate) head: Option<Tick>,
    pub(crate) is_whole: bool,
}

impl Record {
    pub(crate) fn new(log: &AccessLog, config: &config::AccessLog, client: IpAddr) -> Self {
        Self {
            log: log.clone(),
            logged: config.requests,
            slow: config.slow,
            began: Tick::now(),
            client,
            method: http::Method::GET,
            version: http::Version::HTTP_11,
            path: String::new(),
            request_id: None,
            operation: "",
            tenant: None,
            sandbox: None,
            status: 0,
            explanation: None,
            reason: None,
            place: None,
            bytes: 0,
            head: None,
            is_whole: false,
        }
    }

    fn attempts(&self) -> u32 {
        self.explanation.as_ref().map_or(1, Explanation::attempts)
    }

    fn is_notable(&self) -> bool {
        let waited = self.head.unwrap_or_else(Tick::now).since(self.began);
        self.is_failed() || self.attempts() > 1 || waited >= self.slow
    }

    fn is_failed(&self) -> bool {
        self.status == 0 || self.status >= 500 || self.status == 429 || self.reason.is_some()
    }

    fn recent(&self) -> RecentRequest {
        RecentRequest {
            time: unix_time(),
            client: self.client,
            method: cut(self.method.as_str()),
            path: cut(&self.path),
            request_id: self.request_id.as_ref().and_then(|id| id.to_str().ok()).map(cut),
            operation: self.operation,
            key: self.tenant.map(|tenant| tenant.to_string()),
            sandbox: self.sandbox.as_deref().map(cut),
            status: self.status,
            attempts: self.attempts(),
            explanation: self.explanation.as_ref().map(ToString::to_string),
            reason: self.reason,
            total_ms: Tick::now().since(self.began).as_secs_f64() * 1_000.0,
        }
    }

    fn line(&self) -> Vec<u8> {
        let ms = |until: Tick| until.since(self.began).as_secs_f64() * 1_000.0;
        let now = Tick::now();
        let tenant = self.tenant.map(|tenant| tenant.to_string());
        let explanation = self.explanation.as_ref().filter(|_| self.is_notable());
        let explanation = explanation.map(|explanation| explanation.to_string());
        let line = Line {
            time: unix_time(),
            client: self.client,
            method: self.method.as_str(),
            protocol: if self.version == http::Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" },
            path: &self.path,
            request_id: self.request_id.as_ref().and_then(|id| id.to_str().ok()),
            operation: self.operation,
            key: tenant.as_deref(),
            sandbox: self.sandbox.as_deref(),
            status: self.status,
            attempts: self.attempts(),
            explanation: explanation.as_deref(),
            reason: self.reason,
            place: self.place.as_deref(),
            bytes: self.bytes,
            head_ms: self.head.map(ms),
            total_ms: ms(now),
            is_whole: self.is_whole,
        };
        // Strings and numbers have a JSON.
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970.
    time: f64,
    client: IpAddr,
    method: &'a str,
    protocol: &'static str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    operation: &'a str,
    /// Names the API key without showing it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<&'a str>,
    /// 0: the client went away before there was a response.
    status: u16,
    attempts: u32,
    /// Where the time of a notable request went.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_ms: Option<f64>,
    total_ms: f64,
    /// Whether the client was sent the whole response.
    is_whole: bool,
}

#[expect(clippy::disallowed_methods, reason = "log lines are read beside those of other programs")]
fn unix_time() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl Drop for Record {
    fn drop(&mut self) {
        let is_notable = self.is_notable();
        if is_notable {
            self.log.recent.keep(self.is_failed(), || self.recent());
        }
        let is_logged = match self.logged {
            Logged::None => false,
            Logged::Notable => is_notable,
            Logged::All => true,
        };
        if is_logged {
            self.log.write(self.line());
        }
    }
}
