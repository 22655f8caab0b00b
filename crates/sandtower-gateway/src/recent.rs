//! The notable requests of late, for operators.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use sandtower::core::Tick;
use serde::Serialize;

/// Requests that are kept of each kind.
const KEPT: usize = 100;
/// Requests of each kind that are kept within one second: in an outage each request is notable.
const PER_SECOND: u64 = 20;
/// The most characters of a text that a client wrote.
const LONGEST: usize = 200;

/// The last requests that failed or were rejected, and the last that were slow or retried: neither kind
/// drives out the other.
#[derive(Debug, Default)]
pub(crate) struct RecentRequests {
    failed: Kind,
    slow: Kind,
}

#[derive(Debug, Default)]
struct Kind {
    /// The second in the upper half, the requests kept in it in the lower.
    lately: AtomicU64,
    kept: Mutex<VecDeque<RecentRequest>>,
}

/// A request that failed, was rejected, was retried or was slow.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RecentRequest {
    /// Seconds since 1970.
    pub(crate) time: f64,
    pub(crate) client: IpAddr,
    pub(crate) method: String,
    /// Without its query.
    pub(crate) path: String,
    pub(crate) request_id: Option<String>,
    pub(crate) operation: &'static str,
    /// Names the API key without showing it.
    pub(crate) key: Option<String>,
    pub(crate) sandbox: Option<String>,
    /// 0: the client went away before there was a response.
    pub(crate) status: u16,
    pub(crate) attempts: u32,
    /// Where its time went.
    pub(crate) explanation: Option<String>,
    pub(crate) reason: Option<&'static str>,
    pub(crate) total_ms: f64,
}

impl RecentRequests {
    /// Keeps what `request` returns, unless there were too many lately.
    pub(crate) fn keep(&self, is_failed: bool, request: impl FnOnce() -> RecentRequest) {
        let kind = if is_failed { &self.failed } else { &self.slow };
        if !kind.admits() {
            return;
        }
        let request = request();
        let mut kept = kind.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(request);
    }

    /// Those that failed or were rejected, and those that were slow or retried, the newest first.
    pub(crate) fn last(&self) -> [Vec<RecentRequest>; 2] {
        [&self.failed, &self.slow].map(|kind| {
            let kept = kind.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.iter().rev().cloned().collect()
        })
    }
}

impl Kind {
    fn admits(&self) -> bool {
        let second = (Tick::now().as_nanos() / 1_000_000_000) & 0xffff_ffff;
        let lately = self.lately.load(Ordering::Relaxed);
        // Two threads at the turn of a second may keep one more.
        let count = if lately >> 32 == second { lately & 0xffff_ffff } else { 0 };
        if count >= PER_SECOND {
            return false;
        }
        self.lately.store(second << 32 | (count + 1), Ordering::Relaxed);
        true
    }
}

/// The beginning of a text that a client wrote.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
