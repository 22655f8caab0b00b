use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use sandtower_gateway::Gateway;
use sandtower_gateway::config::{Config, Source};
use sandtower_sim::{Plan, Server, Sim};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const KEY: &str = "e2b_0000000000000000000000000000000000000000";

/// What a test may wait for.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A gateway over a simulator.
pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) log: Log,
    caller: Caller,
    simulator: Server,
}

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn source(simulator: &Server, settings: &[&str]) -> Source {
    let url = simulator.url();
    let basis = [
        format!("upstream.api_url={url}"),
        format!("upstream.sandbox_url={url}"),
        "upstream.proxy=none".to_owned(),
        "listen=127.0.0.1:0".to_owned(),
        "workers=2".to_owned(),
        "access_log.requests=all".to_owned(),
    ];
    let has_plan = settings.iter().any(|setting| setting.starts_with("stack."));
    let plan = (!has_plan).then_some("stack.plan=pro");
    let basis = basis.iter().map(String::as_str).chain(plan);
    let all = basis.chain(settings.iter().copied());
    all.into_iter().try_fold(Source::new(), |source, setting| source.set(setting)).unwrap()
}

impl World {
    pub(crate) async fn new(settings: &[&str]) -> Self {
        Self::over(sandtower_sim::Config::new().plan(Plan::Pro), settings).await
    }

    pub(crate) async fn over(sim: sandtower_sim::Config, settings: &[&str]) -> Self {
        let sim = sim.build().unwrap();
        let simulator = sim.listen("127.0.0.1:0").await.unwrap();
        Self::before(sim, simulator, settings)
    }

    /// Before a simulator that runs.
    pub(crate) fn before(sim: Sim, simulator: Server, settings: &[&str]) -> Self {
        let log = Log::default();
        let gateway =
            Gateway::start_logging(source(&simulator, settings).read().unwrap(), log.clone());
        let gateway = Arc::new(gateway.unwrap());
        let caller = Caller::new(gateway.address(), KEY);
        Self { sim, gateway, log, caller, simulator }
    }

    /// Starts another gateway in its place, over the same simulator.
    pub(crate) fn restart(&mut self, settings: &[&str]) {
        self.gateway.stop();
        let gateway = Gateway::start_logging(self.config(settings), self.log.clone());
        self.gateway = Arc::new(gateway.unwrap());
        self.caller = Caller::new(self.gateway.address(), KEY);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    /// With these settings, over the same simulator.
    pub(crate) fn source(&self, settings: &[&str]) -> Source {
        source(&self.simulator, settings)
    }

    pub(crate) fn config(&self, settings: &[&str]) -> Config {
        self.source(settings).read().unwrap()
    }

    /// What goes wrong from now on.
    pub(crate) fn faults(&self, faults: Value) {
        self.sim.set_faults(serde_json::from_value(faults).unwrap()).unwrap();
    }

    /// Writes raw bytes, and reads until the gateway closes the connection or says nothing more.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        // The gateway may close the connection before it has read all.
        drop(stream.write_all(bytes).await);
        let mut read = Vec::new();
        let reading = async {
            let mut buffer = [0; 4_096];
            while let Ok(Ok(length @ 1..)) =
                tokio::time::timeout(Duration::from_millis(700), stream.read(&mut buffer)).await
            {
                read.extend_from_slice(&buffer[..length]);
            }
        };
        reading.await;
        String::from_utf8_lossy(&read).into_owned()
    }
}

impl Deref for World {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// A request to create a sandbox, with these header fields more.
pub(crate) fn creation(body: &str, more: &str) -> Vec<u8> {
    format!(
        "POST /v2/sandboxes HTTP/1.1\r\nhost: gw\r\nx-api-key: {KEY}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n{more}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A client with an API key, for one address.
pub(crate) struct Caller {
    address: SocketAddr,
    key: &'static str,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Caller {
    pub(crate) fn new(address: SocketAddr, key: &'static str) -> Self {
        Self { address, key, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    pub(crate) fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let response = self.client.request(request).await.unwrap();
        let (head, body) = response.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    /// A request to the control plane.
    pub(crate) async fn control(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Response<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(self.uri(path))
            .header("x-api-key", self.key)
            .header("content-type", "application/json");
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        self.send(request.body(Full::new(body)).unwrap()).await
    }

    /// A new sandbox: its id and its token.
    pub(crate) async fn create(&self) -> (String, String) {
        let new = json!({"templateID": "base", "secure": true, "metadata": {"user": "u"}});
        let response = self.control("POST", "/v2/sandboxes", Some(new)).await;
        assert_eq!(response.status(), 201, "{:?}", response.body());
        let sandbox: Value = serde_json::from_slice(response.body()).unwrap();
        let text = |name: &str| sandbox[name].as_str().unwrap_or_default().to_owned();
        (text("sandboxID"), text("envdAccessToken"))
    }

    /// A request to the daemon of a sandbox.
    pub(crate) fn inside(
        &self,
        method: &str,
        path: &str,
        id: &str,
        token: &str,
    ) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(self.uri(path))
            .header("e2b-sandbox-id", id)
            .header("e2b-sandbox-port", "49983")
            .header("x-access-token", token)
    }
}

/// Waits until `holds`.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

/// What the listener for operators says.
pub(crate) async fn ask(
    address: SocketAddr,
    token: Option<&str>,
    method: &str,
    path: &str,
) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let token = token.map_or_else(String::new, |it| format!("authorization: Bearer {it}\r\n"));
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{token}content-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}
