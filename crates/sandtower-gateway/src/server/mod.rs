//! The listener for SDKs: one thread per processor, each with a runtime, a socket and connections to the
//! service of its own. They share a port, and the kernel spreads connections over them.

mod connection;
mod state;
mod stream;
mod tls;
mod tracked;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sandtower::core::BoxError;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};

use crate::gateway::Shared;
use crate::proxy::Proxy;
use crate::recount;

pub(crate) use state::{Active, Claim, ConnectionState};
pub(crate) use tls::TlsSlot;
pub(crate) use tracked::{InFlight, Tracked};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1_024;
/// How long no connection is accepted after that failed: it fails when files run out.
const PAUSE: Duration = Duration::from_millis(50);

/// What a worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serve,
    /// Accept no connection, and close those that are idle.
    Drain,
    /// End at once.
    Stop,
}

/// The workers.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    phase: watch::Sender<Phase>,
    connections: Tracked,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What all workers have in common.
#[derive(Clone, Debug)]
struct Common {
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    connections: Tracked,
    phase: watch::Receiver<Phase>,
}

impl Server {
    pub(crate) fn start(shared: &Arc<Shared>) -> Result<Self, BoxError> {
        let config = shared.generation.load().config.clone();
        let (phase, phases) = watch::channel(Phase::Serve);
        let connections = Tracked::default();
        let common = Common {
            shared: Arc::clone(shared),
            slots: Arc::new(Semaphore::new(config.limits.connections.get())),
            connections: connections.clone(),
            phase: phases,
        };
        let mut address = config.listen;
        let mut listening = Vec::new();
        for _ in 0..config.worker_count() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let listener = listen(&runtime, address)
                .map_err(|error| format!("cannot listen on {address}: {error}"))?;
            address = listener.local_addr()?;
            listening.push((runtime, listener));
        }
        let mut threads = Vec::new();
        for (worker, (runtime, listener)) in listening.into_iter().enumerate() {
            let common = common.clone();
            let thread = std::thread::Builder::new().name(format!("worker-{worker}"));
            let run = move || runtime.block_on(serve(listener, worker, common));
            threads.push(thread.spawn(run)?);
        }
        Ok(Self { address, phase, connections, threads: Mutex::new(threads) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.connections.count()
    }

    /// Accepts no more connections and closes those that are idle; waits until all have ended, at most for
    /// `longest`. `false`: some have not.
    pub(crate) async fn drain(&self, longest: Duration) -> bool {
        self.phase.send_if_modified(|phase| {
            let before = *phase;
            *phase = before.max(Phase::Drain);
            *phase != before
        });
        tokio::time::timeout(longest, self.connections.idle()).await.is_ok()
    }

    /// Ends all threads, with whatever they have in flight.
    pub(crate) fn stop(&self) {
        self.phase.send_replace(Phase::Stop);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // A worker that panicked has ended, too.
            drop(thread.join());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen(runtime: &Runtime, address: SocketAddr) -> io::Result<TcpListener> {
    let _runtime = runtime.enter();
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    #[cfg(unix)]
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn serve(listener: TcpListener, worker: usize, common: Common) {
    let mut phase = common.phase.clone();
    let proxy = Proxy { shared: Arc::clone(&common.shared), worker };
    if worker == 0 {
        tokio::spawn(recount::run(Arc::clone(&common.shared), worker));
        common.shared.recovery.start(&common.shared, worker);
    }
    let accepting = async {
        loop {
            let Ok(slot) = Arc::clone(&common.slots).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((socket, peer)) => {
                    let open = (slot, common.connections.enter());
                    let (proxy, phase) = (proxy.clone(), common.phase.clone());
                    tokio::spawn(async move {
                        connection::serve(socket, peer, proxy, phase).await;
                        drop(open);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = phase.wait_for(|phase| *phase >= Phase::Drain) => {}
    }
    drop(listener);
    // Connections, and what cleans up after them, run in this runtime until then.
    drop(phase.wait_for(|phase| *phase == Phase::Stop).await);
}
