mod account;
mod declared;
mod listing;
mod store;
mod unmarked;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use sandtower::e2b::{SandboxId, Secret};

use super::account::Millis;
use super::clock::Clock;
use super::{NewKey, Upstreams, VirtualKeys};
use crate::config::UpstreamKey;

/// 2026-11-26, 12:00 UTC.
pub(super) const NOON: Millis = 1_795_694_400_000;

/// A clock that a test sets.
#[derive(Clone)]
pub(super) struct Time(Arc<AtomicU64>);

impl Time {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(NOON)))
    }

    pub(super) fn advance(&self, millis: Millis) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }

    fn clock(&self) -> Clock {
        let time = self.clone();
        Clock::new(move || time.0.load(Ordering::Relaxed))
    }
}

/// A folder for temporary files, gone with this.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir()
            .join(format!("sandtower-virtual-keys-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn store(&self) -> PathBuf {
        self.0.join("keys.db")
    }

    pub(super) fn upstreams(&self) -> Upstreams {
        let file = self.0.join("upstream");
        std::fs::write(&file, "e2b_0123\n").unwrap();
        let key = UpstreamKey { env: None, file: Some(file) };
        Upstreams::read("keys.upstream", &[("team".to_owned(), key)].into()).unwrap()
    }

    pub(super) fn open(&self, time: &Time) -> VirtualKeys {
        let keys = VirtualKeys::with_clock(Some(&self.store()), time.clock()).unwrap();
        keys.configure(&self.upstreams(), &[]);
        keys
    }

    /// What a process leaves behind that is killed now.
    pub(super) fn killed(&self) -> Self {
        let other = Self::new();
        for name in ["keys.db", "keys.db-wal"] {
            let from = self.0.join(name);
            if from.exists() {
                std::fs::copy(from, other.0.join(name)).unwrap();
            }
        }
        other
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

pub(super) fn sandbox(number: usize) -> SandboxId {
    format!("i{number}").parse().unwrap()
}

pub(super) fn limited(concurrent: u64) -> NewKey {
    let mut new = NewKey::new("key");
    new.limits.concurrent_sandboxes = Some(concurrent);
    new
}

pub(super) fn bytes(secret: &Secret) -> &[u8] {
    secret.expose().as_bytes()
}
