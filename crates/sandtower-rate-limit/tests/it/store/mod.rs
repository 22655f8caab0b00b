//! What outlives its process, and what several processes share.

mod background;
mod broken;
mod disk;
mod kept;
mod killed;
mod shared;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandtower_core::{Allowance, Tick, Verdict};
use sandtower_rate_limit::{Config, Entry, RateLimit, SqliteStore, Store};

use crate::support;
use crate::support::CREATE;

const HOUR: Duration = Duration::from_secs(3_600);
/// A millisecond after 1970 at which tests begin that keep the time themselves.
const NOW: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 3_600_000;

/// A place for files that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sandtower-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("rate-limit.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn config() -> Config {
    Config::new("E2B").shadow(true)
}

fn durable(path: &Path) -> RateLimit {
    RateLimit::durable(config(), path).unwrap()
}

/// Exchanges only by `sync`.
fn stored(path: &Path) -> RateLimit {
    let store = SqliteStore::new(path, HOUR);
    RateLimit::with_store(config(), std::sync::Arc::new(store)).unwrap()
}

fn send(limit: &RateLimit, times: u64) {
    for _ in 0..times {
        let told = Allowance::new(10, 5, Duration::from_secs(1));
        support::send(limit, CREATE, Tick::now(), Verdict::success().allowance(told));
    }
}

fn count(limit: &RateLimit) -> u64 {
    limit.status(CREATE).count
}

/// What a process finds that begins now.
fn found(path: &Path) -> u64 {
    let limit = stored(path);
    let count = count(&limit);
    limit.close().unwrap();
    count
}

fn sent(at: u64, count: i64) -> Entry {
    Entry::sent(CREATE, at, count)
}

fn total(entries: &[Entry]) -> i64 {
    let count = |entry: &Entry| match entry {
        Entry::Sent { count, .. } => *count,
        _ => 0,
    };
    entries.iter().map(count).sum()
}

/// What a store finds that is opened at `now`.
fn read(path: &Path, window: Duration, now: u64) -> i64 {
    total(&SqliteStore::new(path, window).exchange(&[], now).unwrap())
}

fn rows(path: &Path) -> i64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .query_row("SELECT (SELECT count(*) FROM sent) + (SELECT count(*) FROM held)", [], |row| {
            row.get(0)
        })
        .unwrap()
}
