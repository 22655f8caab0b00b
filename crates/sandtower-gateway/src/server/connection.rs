use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Phase;
use super::state::ConnectionState;
use super::stream::{Stream, Times};
use crate::config::Limits;
use crate::proxy::{Connection, Proxy};

/// Longer than the official SDKs keep an unused connection.
const IDLE: Duration = Duration::from_secs(600);
/// Requests at a time on one connection of HTTP/2.
const STREAMS: u32 = 512;
/// How often, and how long, a silent connection of HTTP/2 is asked whether it is still there.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// Serves one connection until it ends.
pub(super) async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    proxy: Proxy,
    phase: watch::Receiver<Phase>,
) {
    // Many small writes, each one waited for.
    drop(socket.set_nodelay(true));
    let limits = proxy.shared.generation.load().config.limits.clone();
    let Some(acceptor) = proxy.shared.tls.load() else {
        // Boxed, since a connection with TLS takes more room.
        return Box::pin(exchange(socket, Protocol::Clear, peer, proxy, phase, &limits)).await;
    };
    let handshake = tokio::time::timeout(limits.request_timeout, acceptor.accept(socket));
    match Box::pin(handshake).await {
        Ok(Ok(stream)) => {
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let protocol = if is_h2 { Protocol::Http2 } else { Protocol::Clear };
            Box::pin(exchange(stream, protocol, peer, proxy, phase, &limits)).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake timed out"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// HTTP/1.1.
    Clear,
    Http2,
}

async fn exchange<S>(
    stream: S,
    protocol: Protocol,
    peer: SocketAddr,
    proxy: Proxy,
    phase: watch::Receiver<Phase>,
    limits: &Limits,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let state = Arc::new(ConnectionState::default());
    let times = Times { head: limits.request_timeout, idle: IDLE, write: limits.write_timeout };
    let stream = Stream::new(stream, Arc::clone(&state), times, protocol == Protocol::Http2);
    let connection = Arc::new(Connection::new(peer.ip(), state));
    let service = service_fn(move |request: Request<Incoming>| {
        let (proxy, connection) = (proxy.clone(), Arc::clone(&connection));
        async move { Ok::<_, Infallible>(proxy.respond(&connection, request).await) }
    });
    let server = builder(protocol, limits);
    let mut served = pin!(server.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut drains = pin!(drains(phase));
    let outcome = poll_fn(|cx| match served.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => drains.as_mut().poll(cx).map(|()| None),
    });
    let outcome = outcome.await;
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error = %error, "connection broke");
    }
}

/// Waits until connections are to end. Cheap to poll with each step of a connection: what all workers share is
/// locked by the first poll, and by one after a change.
async fn drains(mut phase: watch::Receiver<Phase>) {
    let changes = phase.clone();
    let mut drain = pin!(phase.wait_for(|phase| *phase >= Phase::Drain));
    let mut waiting: Option<Waker> = None;
    poll_fn(|cx| {
        let is_waiting = waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_waiting && matches!(changes.has_changed(), Ok(false)) {
            return Poll::Pending;
        }
        waiting = Some(cx.waker().clone());
        drain.as_mut().poll(cx).map(drop)
    })
    .await;
}

fn builder(protocol: Protocol, limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    let size = limits.header_size.0;
    // No number of fields is set: the one of hyper, 100, costs no allocation for each request.
    server.http1().timer(TokioTimer::new()).max_buf_size(size);
    // The head of a request has its time in `Stream`, from its first byte on.
    server.http1().header_read_timeout(None);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(size).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        .adaptive_window(true)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1);
    match protocol {
        Protocol::Clear => server.http1_only(),
        Protocol::Http2 => server.http2_only(),
    }
}
