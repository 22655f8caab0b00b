use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use http::uri::Authority;
use hyper_util::client::legacy::{Client, ResponseFuture};
use sandtower_core::Tick;

use super::connect::Connector;
use super::upload::Upload;

pub(super) type Pool = Client<Connector, Upload>;

/// The most hosts with a pool of their own. Another one replaces the oldest.
const MOST: usize = 64;

/// The connection pools: one for all hosts, and a new one for each host that fell silent, so that its
/// possibly dead connections are not used again.
///
/// A connection that died silently, as behind a restarted load balancer, looks like any other: without
/// this, each retry takes the next dead one.
pub(super) struct Pools {
    shared: Pool,
    make: Box<dyn Fn() -> Pool + Send + Sync>,
    /// How long an idle connection in `shared` is kept: after that those of a silent host are gone.
    idle: Duration,
    /// Read without the lock.
    len: AtomicUsize,
    own: Mutex<Vec<Own>>,
}

struct Own {
    host: Authority,
    pool: Pool,
    since: Tick,
}

impl Pools {
    pub(super) fn new(
        make: impl Fn() -> Pool + Send + Sync + 'static,
        idle: Duration,
    ) -> Arc<Self> {
        let (shared, make) = (make(), Box::new(make));
        let (len, own) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { shared, make, idle, len, own })
    }

    /// Sends `request` through the pool for its host.
    pub(super) fn send(&self, request: Request<Upload>) -> ResponseFuture {
        if self.len.load(Ordering::Relaxed) == 0 {
            return self.shared.request(request);
        }
        match self.own_of(request.uri().authority()) {
            Some(own) => own.request(request),
            None => self.shared.request(request),
        }
    }

    #[cold]
    fn own_of(&self, host: Option<&Authority>) -> Option<Pool> {
        let now = Tick::now();
        let (found, gone) = {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            let is_over = |own: &mut Own| own.since + self.idle <= now;
            let gone: Vec<Own> = own.extract_if(.., is_over).collect();
            self.len.store(own.len(), Ordering::Relaxed);
            let found = own.iter().find(|own| Some(&own.host) == host);
            (found.map(|own| own.pool.clone()), gone)
        };
        // Connections are closed outside the lock.
        drop(gone);
        found
    }

    /// `host` sent nothing for a request that was sent at `sent`.
    pub(super) fn silent(&self, host: &Authority, sent: Tick) {
        let now = Tick::now();
        let new = Own { host: host.clone(), pool: (self.make)(), since: now };
        let before = {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            let before = match own.iter().position(|own| own.host == *host) {
                // The pool is newer than the request: another one that timed out replaced it.
                Some(at) if own[at].since > sent => return,
                Some(at) => Some(std::mem::replace(&mut own[at], new)),
                None => {
                    own.push(new);
                    (own.len() > MOST).then(|| own.remove(0))
                }
            };
            self.len.store(own.len(), Ordering::Relaxed);
            before
        };
        drop(before);
        tracing::debug!(target: "sandtower::e2b", %host, "no response, opening new connections");
    }
}
