//! What is measured, in which order.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::program::Program;
use super::report::{Report, Section};
use super::streams::{self, Way};
use super::{closed_loop, memory, open_loop, upstream};

/// Connections of the generator.
const CONNECTIONS: usize = 64;
/// Requests a second at which latency is compared.
const RATE: u32 = 15_000;
/// A long body.
const STREAM: usize = 50_000_000;
/// One that would not fit a gateway that holds it.
const LONG_STREAM: usize = 200_000_000;
const IDLE_CONNECTIONS: usize = 10_000;
const KEYS: usize = 500;

/// What to measure, and with which programs.
#[derive(Clone, Debug)]
pub struct Options {
    /// nginx.
    pub nginx: PathBuf,
    /// The gateway, as it is installed.
    pub gateway: PathBuf,
    /// The gateway as `--release` builds it.
    pub release: Option<PathBuf>,
    /// This program, which is also the proxy without layers.
    pub plain: PathBuf,
    /// Where nginx may write.
    pub folder: PathBuf,
    /// How often each proxy has its turn.
    pub rounds: u64,
    /// How long a turn takes.
    pub time: Duration,
    /// Part of the name of what to measure; all of it without.
    pub only: Option<String>,
}

/// Which proxies there are.
pub(super) const NGINX: &str = "nginx";
pub(super) const GATEWAY: &str = "gateway";
pub(super) const DISABLED: &str = "gateway, components disabled";
pub(super) const PLAIN: &str = "proxy without layers";
pub(super) const RELEASE: &str = "gateway, as --release builds it";

const DISABLE_ALL: &str = "stack.disable=[\"deadline\",\"retry\",\"health_check\",\"admission\",\"quota\",\"rate_limit\",\"circuit_breaker\",\"timeout\"]";

/// Measures, and returns the report.
///
/// # Errors
///
/// A program cannot be started, or a response is not what was asked for.
pub fn run(options: &Options) -> io::Result<String> {
    let to = upstream::start()?;
    let gateway = |settings: &[&str]| Program::gateway(&options.gateway, to, settings);
    let mut all = vec![
        (NGINX, Program::nginx(&options.nginx, &options.folder, to)?),
        (GATEWAY, gateway(&[])?),
        (DISABLED, gateway(&[DISABLE_ALL])?),
        (PLAIN, Program::plain(&options.plain, to)?),
    ];
    if let Some(release) = &options.release {
        all.push((RELEASE, Program::gateway(release, to, &[])?));
    }
    let mut report = Report::default();
    let is_wanted = |name: &str| options.only.as_deref().is_none_or(|part| name.contains(part));
    let data = data_request(None);
    if is_wanted("sandbox throughput") {
        report.throughput("requests into a sandbox", throughput(options, &all, &data)?);
    }
    if is_wanted("control throughput") {
        let control = throughput(options, &all[..2], &control_request(0))?;
        report.throughput("requests to the control plane", control);
    }
    if is_wanted("latency") {
        report.latency("15,000 requests a second into a sandbox", latency(options, &all[..2])?);
    }
    if is_wanted("streams") {
        report.streams("a stream of 50 MB", speeds(options, &all)?);
    }
    drop(all);
    if is_wanted("growth") {
        for way in [Way::Down, Way::Up] {
            let new = gateway(&[])?;
            report.growth(way, streams::growth(&new, way, LONG_STREAM)?);
        }
    }
    if is_wanted("idle") {
        let idle = |proxy: &Program| memory::idle_connections(proxy, IDLE_CONNECTIONS);
        let nginx = idle(&Program::nginx(&options.nginx, &options.folder, to)?)?;
        report.idle(IDLE_CONNECTIONS, idle(&gateway(&[])?)?, nginx);
    }
    if is_wanted("keys") {
        report.keys(KEYS, memory::keys(&gateway(&[])?, KEYS)?);
    }
    Ok(report.text())
}

type Proxies<'a> = &'a [(&'static str, Program)];

/// In each round, each proxy has its turn.
fn in_rounds<T>(
    rounds: u64,
    all: Proxies<'_>,
    mut measure: impl FnMut(&Program) -> io::Result<T>,
) -> io::Result<Section<T>> {
    let mut section: Section<T> = all.iter().map(|(name, _)| (*name, Vec::new())).collect();
    for _ in 0..rounds {
        for ((_, proxy), (_, samples)) in all.iter().zip(&mut section) {
            samples.push(measure(proxy)?);
        }
    }
    Ok(section)
}

fn throughput(
    options: &Options,
    all: Proxies<'_>,
    request: &[u8],
) -> io::Result<Section<closed_loop::Throughput>> {
    in_rounds(options.rounds, all, |proxy| {
        closed_loop::measure(proxy, request, CONNECTIONS, options.time)
    })
}

fn latency(options: &Options, all: Proxies<'_>) -> io::Result<Section<open_loop::Latency>> {
    let request = data_request(None);
    in_rounds(options.rounds, all, |proxy| {
        open_loop::measure(proxy.address(), &request, RATE, options.time)
    })
}

/// Down, and up.
fn speeds(options: &Options, all: Proxies<'_>) -> io::Result<Section<(f64, f64)>> {
    in_rounds(options.rounds * 2, all, |proxy| {
        let speed = |way| streams::speed(proxy.address(), way, STREAM);
        Ok((speed(Way::Down)?, speed(Way::Up)?))
    })
}

/// Reads a file of a sandbox, of so many bytes, or a small one.
pub(super) fn data_request(bytes: Option<usize>) -> Vec<u8> {
    let bytes = bytes.map(|bytes| format!("&bytes={bytes}")).unwrap_or_default();
    format!("GET /files?path=%2Fhome%2Fuser%2Fa.txt&username=user{bytes} HTTP/1.1\r\n{SANDBOX}\r\n")
        .into_bytes()
}

/// The head of a request that writes a file; the server stalls before it reads.
pub(super) fn upload_request(bytes: usize, stall: Duration) -> Vec<u8> {
    let stall = stall.as_millis();
    format!(
        "POST /files?path=%2Fhome%2Fuser%2Fa.txt&username=user&stall={stall} HTTP/1.1\r\n{SANDBOX}\
         Content-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\r\n"
    )
    .into_bytes()
}

/// Asks for a sandbox, with the API key of this number.
pub(super) fn control_request(key: usize) -> Vec<u8> {
    format!(
        "GET /sandboxes/i0bench0000000000000 HTTP/1.1\r\n{CLIENT}X-API-KEY: e2b_{key:040x}\r\n{PACKAGE}\r\n"
    )
    .into_bytes()
}

/// What the official SDK for Python sends with each request.
const CLIENT: &str = "Host: 127.0.0.1\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n\
Connection: keep-alive\r\nUser-Agent: e2b-python-sdk/2.63.0\r\n";
/// With those into a sandbox.
const SANDBOX: &str = "Host: 127.0.0.1\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n\
Connection: keep-alive\r\nUser-Agent: e2b-python-sdk/2.63.0\r\n\
E2b-Sandbox-Id: i0bench0000000000000\r\nE2b-Sandbox-Port: 49983\r\n\
X-Access-Token: 0123456789abcdef0123456789abcdef\r\n";
/// With those to the control plane.
const PACKAGE: &str = "lang: python\r\nlang_version: 3.11.2\r\nmachine: x86_64\r\nos: Linux\r\n\
package_version: 2.63.0\r\nprocessor: \r\npublisher: e2b\r\nrelease: 6.1.0\r\n\
sdk_runtime: python\r\nsystem: Linux\r\n";
