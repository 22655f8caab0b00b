//! The simulator behind a socket.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{self, Sleep};
use tokio::{select, task::JoinHandle};
use tower_service::Service as _;

use crate::error::ConnectionError;
use crate::lock::lock;
use crate::sim::Sim;

/// Connections at a time; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 4_096;
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// How long a connection may take for the head of its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How often, and how long, a silent HTTP/2 connection is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may read nothing of its response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client that has stopped sending waits for its responses: as long as for a creation.
/// Whether it is still there shows only when it is written to.
const HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(70);
/// How long requests may go on after the shutdown began.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long no connection is accepted after that failed: it fails when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A simulator behind a socket, until this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

impl Sim {
    /// Serves this simulator; port 0 takes a free one, as in `"127.0.0.1:0"`. Once this returns,
    /// connections are accepted.
    ///
    /// # Errors
    ///
    /// If nothing can listen there.
    pub async fn listen(&self, address: impl ToSocketAddrs) -> io::Result<Server> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let sim = self.clone();
        let serving = tokio::spawn(serve(listener, sim, async { drop(stopped.await) }));
        Ok(Server { address, stop, serving })
    }
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for `E2B_API_URL` and `E2B_SANDBOX_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Accepts no more connections and waits up to five seconds for the requests in progress.
    ///
    /// # Errors
    ///
    /// As for [`serve`].
    pub async fn shutdown(self) -> io::Result<()> {
        drop(self.stop);
        self.serving.await.map_err(io::Error::other)?
    }
}

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
    let exchange = Arc::new(Exchange::default());
    let stream = Guarded { stream, exchange: Arc::clone(&exchange), stalled: None };
    let service = service_fn(|request: Request<Incoming>| {
        let exchange = Arc::clone(&exchange);
        exchange.begun.notify_one();
        // Nothing half-closes a connection of HTTP/2.
        exchange.can_half_close.store(request.version() < Version::HTTP_2, Ordering::Relaxed);
        let responding = Arc::clone(&exchange.responding);
        let request = request.map(|body| Arriving { body, exchange });
        let response = sim.clone().call(request);
        async move { Ok::<_, ConnectionError>(response.await?.map(|body| body.holding(responding))) }
    });
    let served = watcher.watch(server.serve_connection(TokioIo::new(stream), service).into_owned());
    // hyper's own timeout begins only once it knows which version of HTTP it reads.
    let silent = async {
        if time::timeout(HEAD_TIMEOUT, exchange.begun.notified()).await.is_ok() {
            pending().await
        }
    };
    let half_closed = async {
        exchange.half_closed.notified().await;
        time::sleep(HALF_CLOSED_TIMEOUT).await;
    };
    select! {
        biased;
        outcome = served => if let Err(error) = outcome {
            tracing::debug!(%error, "connection broke");
        },
        () = silent => {}
        () = half_closed => tracing::debug!("half-closed connection timed out"),
    }
}

/// What is known of the requests of a connection.
#[derive(Default)]
struct Exchange {
    /// The first request has begun.
    begun: Notify,
    half_closed: Notify,
    can_half_close: AtomicBool,
    /// Held by each response until it was sent.
    responding: Arc<()>,
    /// Whether the client has stopped sending, and who waits for more of a body.
    input: Mutex<(bool, Option<Waker>)>,
}

/// The body of a request; it breaks when its client stops sending in its middle.
struct Arriving {
    body: Incoming,
    exchange: Arc<Exchange>,
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = ConnectionError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ConnectionError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let mut input = lock(&self.exchange.input);
        // hyper has handed on all that it had when it found the end of the input.
        if frame.is_pending() && input.0 {
            return Poll::Ready(Some(Err(ConnectionError::reset(false))));
        }
        input.1 = frame.is_pending().then(|| cx.waker().clone());
        frame.map_err(|_| ConnectionError::reset(false))
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that breaks when its client stops reading, and outlasts that it stops sending.
struct Guarded<S> {
    stream: S,
    exchange: Arc<Exchange>,
    /// Runs while something waits to be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: Unpin> Guarded<S> {
    fn guard<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = write(Pin::new(&mut self.stream), cx);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(time::sleep(WRITE_TIMEOUT)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.remaining();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let exchange = &self.exchange;
        let responds = exchange.can_half_close.load(Ordering::Relaxed)
            && Arc::strong_count(&exchange.responding) > 1;
        if before == 0 || buffer.remaining() < before || !responds {
            return Poll::Ready(Ok(()));
        }
        // A client that half-closes after its request gets its response: hyper, which would give
        // up, asks again when that is sent.
        exchange.half_closed.notify_one();
        let mut input = lock(&exchange.input);
        input.0 = true;
        let waiting = input.1.take();
        drop(input);
        waiting.into_iter().for_each(Waker::wake);
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.guard(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.guard(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.guard(cx, AsyncWrite::poll_shutdown)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split};

    use super::*;
    use crate::{clock, config::Config};

    /// Sends the beginning of a request at once and then a byte each `pause`: the response
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
    async fn a_head_or_a_body_that_is_huge_is_rejected_and_not_held() {
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

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_not_read_is_closed_after_its_time() {
        let (client, served) = duplex(1_024);
        let sim = Config::new().build().unwrap();
        let (began, head) = (clock::now(), "HTTP/1.1\r\nhost: x\r\nx-api-key: e2b_x");
        let serving = tokio::spawn(async move {
            let graceful = GracefulShutdown::new();
            connection(&server(), served, sim, graceful.watcher()).await;
        });
        let (_reading, mut writing) = split(client);
        // Long enough responses that the client's end of the connection is full.
        for _ in 0..20 {
            let request = format!("GET /templates {head}\r\n\r\n");
            if time::timeout(Duration::from_secs(1), writing.write_all(request.as_bytes()))
                .await
                .is_err()
            {
                break;
            }
        }
        serving.await.unwrap();
        let seconds = (clock::now() - began).as_secs();
        assert!((60..=65).contains(&seconds), "{seconds} s");
    }
}
