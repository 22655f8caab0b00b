//! The simulator behind a socket.

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
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
        // Many small writes, each one waited for.
        drop(stream.set_nodelay(true));
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

async fn connection<S>(server: &auto::Builder<TokioExecutor>, stream: S, sim: Sim, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split};

    use super::*;
    use crate::{Config, clock};

    /// Sends the beginning of a request at once and then a byte each `pause`: what was answered
    /// until the connection was closed, and after how many seconds that was.
    async fn drip(first: &str, pause: u64) -> (String, u64) {
        let (client, served) = duplex(1_024);
        let sim = Config::new().build().unwrap();
        tokio::spawn(async move {
            let graceful = GracefulShutdown::new();
            connection(&server(), served, sim, graceful.watcher()).await;
        });
        let (began, mut answer) = (clock::now(), Vec::new());
        let (mut reading, mut writing) = split(client);
        writing.write_all(first.as_bytes()).await.unwrap();
        let dripping = async {
            loop {
                time::sleep(Duration::from_secs(pause)).await;
                // When it is closed there is no more to do than to see that.
                drop(writing.write_all(b"x").await);
            }
        };
        select! {
            read = reading.read_to_end(&mut answer) => drop(read),
            () = dripping => {}
        }
        (String::from_utf8(answer).unwrap(), (clock::now() - began).as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_in_ends_with_its_time() {
        let head = "GET /health HTTP/1.1\r\nhost: x\r\nname: ";
        for (first, pause) in [("", 1_000), ("", 4), ("PRI * HTTP/2.0", 1_000), (head, 4)] {
            let (answer, seconds) = drip(first, pause).await;
            assert!((30..=60).contains(&seconds), "{first:?}: {seconds} s");
            assert!(!answer.contains("200 OK"), "{first:?}: {answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_in_ends_with_its_time() {
        let key = "x-api-key: e2b_x";
        let long = "host: x\r\ncontent-length: 1000";
        let create = format!("POST /v2/sandboxes HTTP/1.1\r\n{long}\r\n{key}\r\n\r\n{{");
        let (answer, seconds) = drip(&create, 7).await;
        assert_eq!(seconds, 70, "the deadline of the API");
        assert!(answer.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{answer}");
        assert!(answer.ends_with("upstream request timeout"), "{answer}");
        for (path, headers) in [
            ("/files?path=/tmp/x", "e2b-sandbox-id: i1\r\ne2b-sandbox-port: 49983"),
            ("/_sim/faults", "x: y"),
        ] {
            let put = format!("POST {path} HTTP/1.1\r\n{long}\r\n{headers}\r\n\r\n");
            assert_eq!(drip(&put, 7).await, (String::new(), 60), "{path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_idle_is_closed() {
        let (answer, seconds) = drip("GET /health HTTP/1.1\r\nhost: x\r\n\r\n", 1_000).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(seconds, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_or_a_body_that_is_huge_is_refused_and_not_held() {
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(1 << 20));
        let body = format!(
            "POST /v2/sandboxes HTTP/1.1\r\nhost: x\r\nx-api-key: e2b_x\r\n\
             content-length: 9999999999\r\n\r\n{}",
            "y".repeat(1 << 20)
        );
        for (request, status) in [(head, "431"), (body, "400")] {
            let (client, served) = duplex(1_024);
            let sim = Config::new().build().unwrap();
            tokio::spawn(async move {
                let graceful = GracefulShutdown::new();
                connection(&server(), served, sim, graceful.watcher()).await;
            });
            let (mut reading, mut writing) = split(client);
            let sent = async {
                // It is not read to its end.
                assert!(writing.write_all(request.as_bytes()).await.is_err());
            };
            let mut answer = Vec::new();
            let ((), read) = tokio::join!(sent, reading.read_to_end(&mut answer));
            drop(read);
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
    }
}
