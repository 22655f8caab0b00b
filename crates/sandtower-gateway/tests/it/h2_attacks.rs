//! HTTP/2 as no library would send it: frames by hand.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::certificate::{Certificate, DOMAIN};
use super::support::World;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What became of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It was reset, or the connection was closed.
    Closed,
    Status(u16),
}

struct Raw(TlsStream<TcpStream>);

impl Raw {
    async fn connect(world: &World, certificate: &Certificate) -> Self {
        let host = format!("api.{DOMAIN}");
        let mut raw = Self(certificate.connect(world.address(), &host, "h2").await);
        raw.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()).await;
        raw.write(frame(SETTINGS, 0, 0, &[])).await;
        raw
    }

    async fn write(&mut self, bytes: Vec<u8>) {
        // The gateway may have closed the connection.
        drop(self.0.write_all(&bytes).await);
        drop(self.0.flush().await);
    }

    /// The next frame: kind, stream and payload; `None`: the connection was closed.
    async fn frame(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((head[3], stream, payload))
    }

    async fn outcome(&mut self, of: u32) -> Outcome {
        let reading = async {
            while let Some((kind, stream, payload)) = self.frame().await {
                match kind {
                    HEADERS if stream == of => return Outcome::Status(status(&payload)),
                    RESET if stream == of => return Outcome::Closed,
                    GO_AWAY => return Outcome::Closed,
                    _ => {}
                }
            }
            Outcome::Closed
        };
        tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap()
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The fields as HPACK has them: none in a table, none compressed.
fn fields(all: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let text = |block: &mut Vec<u8>, text: &str| {
        let mut left = text.len();
        if left < 127 {
            block.push(u8::try_from(left).unwrap());
        } else {
            block.push(127);
            left -= 127;
            while left >= 128 {
                block.push(u8::try_from(left % 128).unwrap() | 128);
                left /= 128;
            }
            block.push(u8::try_from(left).unwrap());
        }
        block.extend(text.bytes());
    };
    for (name, value) in all {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

/// The status at the begin of a response's fields: one of HPACK's table, or three digits in its code.
fn status(block: &[u8]) -> u16 {
    const TABLE: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    const LONG: [&str; 7] = ["011001", "011010", "011011", "011100", "011101", "011110", "011111"];
    // A change of the table's size may stand before it.
    let block = &block[block.iter().take_while(|byte| **byte & 0xe0 == 0x20).count()..];
    if let Some(status) = block[0].checked_sub(0x88).and_then(|at| TABLE.get(usize::from(at))) {
        return *status;
    }
    let (length, coded) = (block[1], &block[2..]);
    if length & 0x80 == 0 {
        return std::str::from_utf8(&coded[..3]).unwrap().parse().unwrap();
    }
    let bits: String = coded.iter().take(3).map(|byte| format!("{byte:08b}")).collect();
    let (mut left, mut number) = (bits.as_str(), 0);
    for _ in 0..3 {
        let long = LONG.iter().position(|code| left.starts_with(code));
        let (digit, used) = match long {
            Some(at) => (at + 3, 6),
            None => (usize::from_str_radix(&left[..5], 2).unwrap(), 5),
        };
        number = number * 10 + u16::try_from(digit).unwrap();
        left = &left[used..];
    }
    number
}

#[test]
fn statuses_are_read() {
    assert_eq!(status(&[0x88]), 200);
    assert_eq!(status(&[0x20, 0x8c]), 400);
    // 401 is 011010 00000 00001.
    assert_eq!(status(&[0x48, 0x82, 0b0110_1000, 0b0000_0001]), 401);
    assert_eq!(status(&[0x08, 0x03, b'5', b'0', b'3']), 503);
}

/// What is tried, its fields, and what may become of it besides a reset.
type Try<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u16]);

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "https");
/// Without an API key, what gets through is 401.
const PATH: (&str, &str) = (":path", "/sandboxes");
const AUTHORITY: (&str, &str) = (":authority", "api.gw.example");

#[tokio::test]
async fn malformed_requests_of_http_2_are_rejected_or_reset() {
    let certificate = Certificate::new("h2");
    let settings = certificate.settings();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let world = World::new(&settings).await;
    let huge = "a".repeat(200_000);
    let tries: &[Try<'_>] = &[
        ("no authority", &[METHOD, SCHEME, PATH], &[400, 401]),
        (
            "two authorities",
            &[METHOD, SCHEME, PATH, AUTHORITY, (":authority", "b.gw.example")],
            &[400],
        ),
        ("a late authority", &[METHOD, SCHEME, PATH, ("accept", "a"), AUTHORITY], &[400]),
        ("an empty authority", &[METHOD, SCHEME, PATH, (":authority", "")], &[400, 401]),
        (
            "an authority with a user",
            &[METHOD, SCHEME, PATH, (":authority", "a@1-b.gw.example")],
            &[400],
        ),
        ("an authority that is none", &[METHOD, SCHEME, PATH, (":authority", "a b/../c")], &[400]),
        ("no path", &[METHOD, SCHEME, AUTHORITY], &[400]),
        ("an empty path", &[METHOD, SCHEME, (":path", ""), AUTHORITY], &[400]),
        ("two paths", &[METHOD, SCHEME, PATH, (":path", "/teams"), AUTHORITY], &[400]),
        (
            "a path without a slash",
            &[METHOD, SCHEME, (":path", "sandboxes"), AUTHORITY],
            &[400, 401],
        ),
        (
            "a path that is a target",
            &[METHOD, SCHEME, (":path", "https://169.254.169.254/"), AUTHORITY],
            &[400, 401, 404],
        ),
        ("dot segments", &[METHOD, SCHEME, (":path", "/sandboxes/../teams"), AUTHORITY], &[400]),
        ("no method", &[SCHEME, PATH, AUTHORITY], &[400]),
        ("two methods", &[METHOD, (":method", "DELETE"), SCHEME, PATH, AUTHORITY], &[400]),
        ("no scheme", &[METHOD, PATH, AUTHORITY], &[400]),
        (
            "an unknown pseudo-header",
            &[METHOD, SCHEME, PATH, AUTHORITY, (":sandbox", "i0")],
            &[400],
        ),
        ("that of a response", &[METHOD, SCHEME, PATH, AUTHORITY, (":status", "200")], &[400]),
        (
            "a host beside another authority",
            &[METHOD, SCHEME, PATH, (":authority", "1-a.gw.example"), ("host", "1-b.gw.example")],
            &[400],
        ),
        (
            "two hosts",
            &[METHOD, SCHEME, PATH, ("host", "1-a.gw.example"), ("host", "1-b.gw.example")],
            &[400],
        ),
        (
            "a field of the connection",
            &[METHOD, SCHEME, PATH, AUTHORITY, ("connection", "close")],
            &[400],
        ),
        (
            "a field that it names",
            &[METHOD, SCHEME, PATH, AUTHORITY, ("connection", "x-api-key")],
            &[400],
        ),
        ("chunks", &[METHOD, SCHEME, PATH, AUTHORITY, ("transfer-encoding", "chunked")], &[400]),
        ("an upgrade", &[METHOD, SCHEME, PATH, AUTHORITY, ("upgrade", "websocket")], &[400]),
        ("capitals", &[METHOD, SCHEME, PATH, AUTHORITY, ("X-Api-Key", "a")], &[400]),
        ("a line break", &[METHOD, SCHEME, PATH, AUTHORITY, ("x", "a\r\nx-api-key: b")], &[400]),
        ("a tunnel", &[(":method", "CONNECT"), (":authority", "169.254.169.254:80")], &[400]),
        (
            "a tunnel with a protocol",
            &[(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, PATH, AUTHORITY],
            &[400],
        ),
        (
            "a length without a body",
            &[(":method", "POST"), SCHEME, PATH, AUTHORITY, ("content-length", "5")],
            &[400],
        ),
        (
            "two sandboxes",
            &[
                METHOD,
                SCHEME,
                PATH,
                (":authority", "1-a.gw.example"),
                ("e2b-sandbox-id", "b"),
                ("e2b-sandbox-port", "1"),
            ],
            &[400],
        ),
        ("huge fields", &[METHOD, SCHEME, PATH, AUTHORITY, ("x", &huge)], &[431]),
    ];
    for (what, sent, expected) in tries {
        let mut raw = Raw::connect(&world, &certificate).await;
        write_fields(&mut raw, 1, &fields(sent)).await;
        match raw.outcome(1).await {
            Outcome::Closed => {}
            Outcome::Status(got) => {
                assert!(expected.contains(&got), "{what}: {got}, not one of {expected:?}");
            }
        }
    }
    assert_eq!(well(&world, &certificate).await, Outcome::Status(200), "it serves on");
}

/// In frames of the size that every server takes.
async fn write_fields(raw: &mut Raw, stream: u32, block: &[u8]) {
    let mut pieces = block.chunks(16_384).peekable();
    let mut kind = HEADERS;
    while let Some(piece) = pieces.next() {
        let is_last = pieces.peek().is_none();
        let ends = if kind == HEADERS { END_STREAM } else { 0 };
        let flags = ends | if is_last { END_HEADERS } else { 0 };
        raw.write(frame(kind, flags, stream, piece)).await;
        kind = CONTINUATION;
    }
}

/// A request as it should be.
async fn well(world: &World, certificate: &Certificate) -> Outcome {
    let mut raw = Raw::connect(world, certificate).await;
    let block = fields(&[METHOD, SCHEME, (":path", "/health"), AUTHORITY]);
    write_fields(&mut raw, 1, &block).await;
    raw.outcome(1).await
}

#[tokio::test]
async fn floods_of_http_2_end_their_own_connection_alone() {
    let certificate = Certificate::new("h2-floods");
    let settings = certificate.settings();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let world = World::new(&settings).await;
    let block = fields(&[METHOD, SCHEME, (":path", "/health"), AUTHORITY]);
    // Streams that are reset right after they began.
    let mut raw = Raw::connect(&world, &certificate).await;
    let mut all = Vec::new();
    for stream in (1..20_001).step_by(2) {
        all.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &block));
        all.extend(frame(RESET, 0, stream, &8_u32.to_be_bytes()));
    }
    raw.write(all).await;
    drop(raw);
    // Fields without an end.
    let mut raw = Raw::connect(&world, &certificate).await;
    raw.write(frame(HEADERS, END_STREAM, 1, &block)).await;
    let more = fields(&[("x", &"a".repeat(16_000))]);
    for _ in 0..1_000 {
        raw.write(frame(CONTINUATION, 0, 1, &more)).await;
    }
    assert_ne!(raw.outcome(1).await, Outcome::Status(200));
    // A body that is longer than was said.
    let mut raw = Raw::connect(&world, &certificate).await;
    let block = fields(&[(":method", "POST"), SCHEME, PATH, AUTHORITY, ("content-length", "3")]);
    raw.write(frame(HEADERS, END_HEADERS, 1, &block)).await;
    raw.write(frame(DATA, END_STREAM, 1, b"longer")).await;
    assert!(matches!(raw.outcome(1).await, Outcome::Closed | Outcome::Status(400 | 401)));
    assert_eq!(well(&world, &certificate).await, Outcome::Status(200), "it serves on");
    super::support::until("nothing is left", || world.gateway.in_flight() == 0).await;
}
