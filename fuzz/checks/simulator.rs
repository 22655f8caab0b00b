use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use sandtower_sim::{Config, Sim};
use tower::ServiceExt as _;

/// Set in the first byte of the data if the body, or its messages, are said to be in gzip.
const PACKED: u8 = 0x80;

/// Where bodies go, and as what: the other bits of the first byte choose.
const TARGETS: &[(&str, &str)] = &[
    ("/files?path=/tmp/x", "multipart/form-data; boundary=x"),
    ("/files", "multipart/form-data; boundary=x"),
    ("/process.Process/Start", "application/connect+json"),
    ("/process.Process/Connect", "application/connect+json"),
    ("/process.Process/StreamInput", "application/connect+json"),
    ("/process.Process/SendInput", "application/json"),
    ("/filesystem.Filesystem/Move", "application/json"),
    ("/execute", "application/json"),
    ("/filesystem.Filesystem/WatchDir", "application/connect+json"),
    ("/filesystem.Filesystem/CreateWatcher", "application/json"),
];

/// Sends a body into a sandbox, where envelopes and multipart forms are read.
pub(crate) fn simulator(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let (path, kind) = TARGETS[usize::from(*choice & !PACKED) % TARGETS.len()];
    let packed = choice & PACKED != 0;
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let sim = Config::new().build().unwrap();
        let create = Request::post("/sandboxes").header("x-api-key", "e2b_fuzz");
        let create = create.body(Full::from(r#"{"templateID": "code-interpreter-v1"}"#)).unwrap();
        let (status, created) = send(&sim, create).await;
        assert_eq!(status, 201);
        let created: serde_json::Value = serde_json::from_slice(&created).unwrap();
        let id = created["sandboxID"].as_str().unwrap();
        let port = if path == "/execute" { 49999 } else { 49983 };
        let request = Request::post(path).header("content-type", kind);
        let request = request.header("e2b-sandbox-id", id).header("e2b-sandbox-port", port);
        let request = request.header("connect-timeout-ms", 1_000);
        let request = if packed {
            let header = if kind == "application/connect+json" {
                "connect-content-encoding"
            } else {
                "content-encoding"
            };
            request.header(header, "gzip")
        } else {
            request
        };
        let (status, _) = send(&sim, request.body(Full::from(body.to_vec())).unwrap()).await;
        assert!(status < 600, "{status}");
        let health = Request::get("/health").header("e2b-sandbox-id", id);
        let health = health.header("e2b-sandbox-port", 49983).body(Full::default()).unwrap();
        assert_eq!(send(&sim, health).await.0, 204, "the sandbox is still healthy");
    });
}

async fn send(sim: &Sim, request: Request<Full<Bytes>>) -> (u16, Bytes) {
    let response = sim.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    // A command may outlive its sandbox, whose connections then break.
    let body = response.into_body().collect().await;
    (status, body.map(http_body_util::Collected::to_bytes).unwrap_or_default())
}
