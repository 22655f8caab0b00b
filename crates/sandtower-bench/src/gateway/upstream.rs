//! What all proxies are in front of: an HTTP server that responds at once.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::connection::PIECE;
use super::workers;

/// A sandbox that was created through the gateway, as E2B describes it.
const SANDBOX: &[u8] = br#"{"templateID":"base","alias":"base","sandboxID":"i0bench0000000000000","clientID":"6532622b","startedAt":"2026-01-01T00:00:00Z","endAt":"2026-01-01T01:00:00Z","envdVersion":"0.4.0","envdAccessToken":"not-a-secret","domain":null,"cpuCount":2,"memoryMB":512,"diskSizeMB":1024,"metadata":{"sandtower_attempt":"a1","sandtower_call":"0123456789abcdef0123456789abcdef","sandtower_owner":"gateway","team":"bench"},"state":"running"}"#;
/// A small file.
const FILE: &[u8] = &[b'a'; 256];
static ZEROS: [u8; PIECE] = [0; PIECE];

/// Serves until the process ends.
pub(super) fn start() -> io::Result<SocketAddr> {
    workers::listen(SocketAddr::from(([127, 0, 0, 1], 0)), |_, stream| serve(stream))
}

async fn serve(stream: TcpStream) {
    // A proxy that ends breaks its connections.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(respond)).await);
}

/// The path says what, `bytes` in the query how much, `stall` how many milliseconds the server takes before
/// it reads on.
async fn respond(request: Request<Incoming>) -> Result<Response<Zeros>, Infallible> {
    let number = |name| number(request.uri().query(), name);
    let (bytes, stall) = (number("bytes="), number("stall="));
    let is_file = request.uri().path() == "/files";
    let kind = if is_file { "application/octet-stream" } else { "application/json" };
    let mut body = request.into_body();
    if !body.is_end_stream() {
        if let Some(stall) = stall {
            tokio::time::sleep(Duration::from_millis(stall)).await;
        }
        while let Some(Ok(_)) = body.frame().await {}
    }
    let body = match (is_file, bytes) {
        (_, Some(bytes)) => Zeros { piece: &ZEROS, left: bytes },
        (true, None) => Zeros { piece: FILE, left: FILE.len() as u64 },
        (false, None) => Zeros { piece: SANDBOX, left: SANDBOX.len() as u64 },
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    Ok(response)
}

fn number(query: Option<&str>, name: &str) -> Option<u64> {
    query?.split('&').find_map(|field| field.strip_prefix(name)?.parse().ok())
}

/// The same piece, until so many bytes are sent.
struct Zeros {
    piece: &'static [u8],
    left: u64,
}

impl Body for Zeros {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = self.piece.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&self.piece[..length])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
