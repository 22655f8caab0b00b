//! The simulator behind a socket.

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::{Notify, Semaphore},
    time,
};
use tower_service::Service as _;

use crate::Sim;

/// Connections at a time; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 4_096;
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// How long a connection may take for the head of its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How often, and how long, a silent HTTP/2 connection is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests may go on after the shutdown began.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long no connection is accepted after that failed: it fails when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves a simulator on a listener, over HTTP/1.1 and HTTP/2, until `shutdown` is done; then
/// waits up to five seconds for the requests in progress.
///
/// # Errors
///
/// If the listener has no local address, so that it never was one.
pub async fn serve(
    listener: TcpListener,
    sim: Sim,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::debug!(%address, "serving");
    let mut shutdown = pin!(shutdown);
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let server = Arc::new(server());
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = select! {
            biased;
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (watcher, sim, server) = (graceful.watcher(), sim.clone(), Arc::clone(&server));
        tokio::spawn(async move {
            connection(&server, stream, sim, watcher).await;
            drop(slot);
        });
    }
    drop(listener);
    if time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still in progress when the shutdown's time was over");
    }
    Ok(())
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    server
}

async fn connection(
    server: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    sim: Sim,
    watcher: hyper_util::server::graceful::Watcher,
) {
    // Many small writes, each one waited for.
    drop(stream.set_nodelay(true));
    let spoken = Arc::new(Notify::new());
    let first = Arc::clone(&spoken);
    let service = service_fn(move |request: Request<Incoming>| {
        first.notify_one();
        sim.clone().call(request)
    });
    let served = server.serve_connection(TokioIo::new(stream), service).into_owned();
    let mut served = pin!(watcher.watch(served));
    // hyper's own time-out begins only once it knows which version of HTTP it reads.
    let silent = time::timeout(HEAD_TIMEOUT, spoken.notified());
    let outcome = select! {
        biased;
        outcome = &mut served => outcome,
        heard = silent => match heard {
            Ok(()) => served.await,
            Err(_) => return,
        },
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection broke");
    }
}
