use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower_service::Service as _;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 512;
/// How long a client may take for the head of a request, and keep a connection unused.
const HEAD: Duration = Duration::from_secs(30);
/// The header fields of one request together.
const HEAD_SIZE: usize = 32 * 1_024;
/// How long no connection is accepted after that failed: it fails when files run out.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until it is dropped; they end with it.
pub(super) async fn serve(listener: TcpListener, routes: Router) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, peer)) => {
                let routes = routes.clone();
                connections.spawn(async move {
                    exchange(socket, peer, routes).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection of an operator failed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn exchange(socket: TcpStream, peer: std::net::SocketAddr, routes: Router) {
    drop(socket.set_nodelay(true));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        // It is always ready.
        routes.clone().call(request)
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_SIZE);
    if let Err(error) = server.serve_connection(TokioIo::new(socket), service).await {
        tracing::debug!(%error, "connection of an operator broke");
    }
}
