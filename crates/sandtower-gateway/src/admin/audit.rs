//! What operators have changed, and what was denied.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sandtower::core::{BoxError, Tick};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::recent::cut;

/// Entries that are kept of each kind: neither drives out the other.
const KEPT: usize = 500;
/// Lines that wait to be written; beyond, they are only kept in memory.
const WAITING: usize = 1_024;
/// Denied changes that are recorded within [`WINDOW`]; further ones are counted.
const DENIED: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);
/// The most characters of one text.
const LONGEST: usize = 200;
/// The most parameters of one change.
const PARAMETERS: usize = 16;

/// One change that was asked for.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Entry {
    /// Seconds since 1970.
    pub(super) time: f64,
    /// `token`, a session, or `anonymous`.
    pub(super) actor: String,
    pub(super) peer: SocketAddr,
    /// The method and the path.
    pub(super) what: String,
    /// Those of the change, without secrets.
    pub(super) parameters: Value,
    pub(super) result: Outcome,
    pub(super) status: u16,
    /// Why it was denied or has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// Denied changes before it that were not recorded, since there were too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) left_out: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Done,
    Failed,
    Denied,
}

impl Outcome {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Denied => "denied",
        }
    }
}

/// The log of changes: in memory, as events, and in a file if there is one.
pub(super) struct Audit {
    kept: Mutex<Kept>,
    file: Option<SyncSender<Vec<u8>>>,
}

#[derive(Default)]
struct Kept {
    made: VecDeque<Entry>,
    denied: VecDeque<Entry>,
    window: Option<(Tick, u32)>,
    left_out: u64,
}

impl Audit {
    pub(super) fn new(file: Option<&Path>) -> Result<Self, BoxError> {
        let file = file.map(|path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.map_err(|error| format!("{} (`admin.audit_log`): {error}", path.display()))
        });
        let file = match file.transpose()? {
            Some(file) => Some(writer(file)?),
            None => None,
        };
        Ok(Self { kept: Mutex::default(), file })
    }

    /// Adds an entry.
    pub(super) fn add(&self, entry: Entry) {
        let Some(entry) = self.lock().admit(entry) else { return };
        let Entry { actor, peer, what, result, status, why, .. } = &entry;
        let (result, why) = (result.label(), why.as_deref());
        if entry.result == Outcome::Denied {
            tracing::warn!(
                target: "sandtower::admin", actor, %peer, what, result, status, why, "change denied"
            );
        } else {
            tracing::info!(
                target: "sandtower::admin", actor, %peer, what, result, status, why, "change"
            );
        }
        if let Some(file) = &self.file {
            // Strings and numbers have a JSON.
            let mut line = serde_json::to_vec(&entry).unwrap_or_default();
            line.push(b'\n');
            if let Err(error) = file.try_send(line) {
                tracing::error!(target: "sandtower::admin", %error, "audit log is not written");
            }
        }
        self.lock().keep(entry);
    }

    /// The last entries, the newest first.
    pub(super) fn last(&self, most: usize) -> Vec<Entry> {
        let kept = self.lock();
        let mut all: Vec<Entry> = kept.made.iter().chain(&kept.denied).cloned().collect();
        drop(kept);
        all.sort_by(|one, other| other.time.total_cmp(&one.time));
        all.truncate(most);
        all
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Counts a denied change; `None`: there were too many lately.
    fn admit(&mut self, entry: Entry) -> Option<Entry> {
        if entry.result == Outcome::Denied {
            let now = Tick::now();
            let window = self.window.filter(|(began, _)| now.since(*began) < WINDOW);
            let (began, count) = window.unwrap_or((now, 0));
            self.window = Some((began, count + 1));
            if count >= DENIED {
                self.left_out += 1;
                return None;
            }
        }
        Some(Entry { left_out: std::mem::take(&mut self.left_out), ..entry })
    }

    fn keep(&mut self, entry: Entry) {
        let list = if entry.result == Outcome::Denied { &mut self.denied } else { &mut self.made };
        if list.len() == KEPT {
            list.pop_front();
        }
        list.push_back(entry);
    }
}

/// Writes lines in a thread of its own: a slow disk delays no operator.
fn writer(mut file: File) -> Result<SyncSender<Vec<u8>>, BoxError> {
    let (lines, waiting): (_, Receiver<Vec<u8>>) = sync_channel(WAITING);
    let thread = std::thread::Builder::new().name("audit-log".to_owned());
    thread.spawn(move || {
        while let Ok(line) = waiting.recv() {
            if let Err(error) = file.write_all(&line) {
                tracing::error!(target: "sandtower::admin", %error, "audit log is not written");
            }
        }
    })?;
    Ok(lines)
}

/// The parameters of a change as they may be kept: few, short, and no secret.
pub(super) fn parameters(body: &[u8]) -> Value {
    let Ok(Value::Object(all)) = serde_json::from_slice(body) else { return Value::Null };
    let short = |(name, value): (String, Value)| {
        let shown = if may_be_secret(&name) { Value::from("(not shown)") } else { bounded(value) };
        (cut(&name), shown)
    };
    Value::Object(all.into_iter().take(PARAMETERS).map(short).collect::<Map<_, _>>())
}

fn may_be_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "token", "secret", "password", "credential"].iter().any(|word| name.contains(word))
}

fn bounded(value: Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("e2b_") => Value::from("(not shown)"),
        Value::String(text) => Value::from(cut(&text)),
        Value::Array(_) | Value::Object(_) => {
            let text = value.to_string();
            let is_shown = text.len() <= LONGEST && !may_be_secret(&text) && !text.contains("e2b_");
            if is_shown { value } else { Value::from("(not shown)") }
        }
        other => other,
    }
}

#[expect(clippy::disallowed_methods, reason = "entries are read beside those of other programs")]
pub(super) fn unix_time() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(result: Outcome, what: &str) -> Entry {
        Entry {
            time: unix_time(),
            actor: String::from("token"),
            peer: SocketAddr::from(([127, 0, 0, 1], 1)),
            what: what.to_owned(),
            parameters: Value::Null,
            result,
            status: 200,
            why: None,
            left_out: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn denied_changes_neither_fill_the_log_nor_drive_out_changes() {
        let audit = Audit::new(None).unwrap();
        audit.add(entry(Outcome::Done, "first"));
        (0..2_000).for_each(|_| audit.add(entry(Outcome::Denied, "denied")));
        assert_eq!(audit.last(9_999).len(), 1 + DENIED as usize);
        tokio::time::advance(WINDOW).await;
        audit.add(entry(Outcome::Denied, "later"));
        let all = audit.last(9_999);
        assert!(all.iter().any(|entry| entry.what == "first"));
        let later = all.iter().find(|entry| entry.what == "later").unwrap();
        assert_eq!(later.left_out, 2_000 - u64::from(DENIED));
        (0..2_000).for_each(|_| audit.add(entry(Outcome::Done, "change")));
        assert!(audit.last(9_999).len() <= 2 * KEPT);
    }

    #[test]
    fn parameters_show_no_secret_and_are_short() {
        let body = serde_json::json!({
            "limit": 4, "upstream_key": "e2b_1", "Token": "t", "name": "e2b_2", "note": "n".repeat(900),
            "nested": {"api_key": "k"}, "list": ["a"],
        });
        let shown = parameters(body.to_string().as_bytes()).to_string();
        assert!(shown.contains("\"limit\":4") && shown.contains("[\"a\"]"), "{shown}");
        assert!(!shown.contains("e2b_") && !shown.contains("\"t\"") && !shown.contains("\"k\""));
        assert!(shown.len() < 1_000, "{shown}");
        assert_eq!(parameters(b"[1]"), Value::Null);
        assert_eq!(parameters(b"\xff"), Value::Null);
    }
}
