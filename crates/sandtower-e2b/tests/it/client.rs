//! The client, against a service with scripted responses that records its requests.

use std::collections::VecDeque;
use std::future::{Future, Ready, ready};
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use sandtower_core::{BoxError, Outcome, Reason, Rejection, Seed};
use sandtower_e2b::{
    CallId, Client, Command, Config, Error, Hint, ListSandboxes, NewSandbox, Sandbox, Secret,
    State, envelope, operation as op, recognise,
};
use tower::Service;

type Reply = Result<Response<Full<Bytes>>, BoxError>;

/// Replies by script, in order; panics if called without having been polled ready.
#[derive(Default)]
struct Scripted {
    shared: Arc<Shared>,
    is_ready: bool,
}

#[derive(Default)]
struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Request<Full<Bytes>>>>,
}

impl Clone for Scripted {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), is_ready: false }
    }
}

impl Service<Request<Full<Bytes>>> for Scripted {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Ready<Reply>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called without being ready");
        self.shared.requests.lock().unwrap().push(request);
        ready(self.shared.replies.lock().unwrap().pop_front().unwrap())
    }
}

/// A client whose calls get these replies.
fn client(replies: impl IntoIterator<Item = Reply>) -> Client<Scripted> {
    let service = Scripted::default();
    service.shared.replies.lock().unwrap().extend(replies);
    let config = Config::new("e2b_key").unwrap().seed(Seed::fixed(1));
    let config = config.owner("me".parse().unwrap()).api_url("http://api.test:3000").unwrap();
    Client::new(service, config.sandbox_url("http://sandbox.test:3000").unwrap())
}

fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    Ok(Response::builder().status(status).body(Full::new(body.into())).unwrap())
}

fn last_request(client: &Client<Scripted>) -> Request<Full<Bytes>> {
    client.service().shared.requests.lock().unwrap().pop().unwrap()
}

fn header<'a>(request: &'a Request<Full<Bytes>>, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

async fn body(request: Request<Full<Bytes>>) -> Bytes {
    request.into_body().collect().await.unwrap().to_bytes()
}

fn sandbox() -> Sandbox {
    Sandbox::new("i0abc".parse().unwrap(), Some(Secret::new("tok_secret")))
}

const CREATED: &str = r#"{"templateID":"t","sandboxID":"i0abc","envdAccessToken":"tok_secret"}"#;

#[tokio::test]
async fn a_creation_sends_its_parameters_and_returns_the_sandbox() {
    let client = client([reply(201, CREATED)]);
    let created = client.create(&NewSandbox::new("base").metadata("user", "u-1")).await.unwrap();
    assert_eq!(created.id().as_str(), "i0abc");
    let request = last_request(&client);
    let id = *request.extensions().get::<CallId>().unwrap();
    assert_eq!(request.headers().get("idempotency-key"), None);
    assert_eq!(recognise(&request).0, op::SANDBOX_CREATE);
    assert_eq!(request.uri(), "http://api.test:3000/v2/sandboxes");
    assert_eq!(header(&request, "x-api-key"), Some("e2b_key"));
    assert_eq!(header(&request, "content-type"), Some("application/json"));
    assert!(!format!("{request:?}").contains("e2b_key"), "the key is marked as sensitive");
    assert_eq!(
        body(request).await,
        r#"{"templateID":"base","metadata":{"sandtower_attempt":"1","sandtower_call":"CALL","sandtower_owner":"me","user":"u-1"},"envVars":{}}"#.replace("CALL", &id.to_string()),
    );
}

#[tokio::test]
async fn a_creation_whose_response_is_cut_off_has_the_hint_look() {
    let error = client([reply(201, &CREATED[..40])]).create(&NewSandbox::new("base")).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::BrokenResponse { .. }), "{error}");
    assert_eq!(error.hint(), Hint::Look);
    assert!(!format!("{error:?}").contains("i0abc"));
}

#[tokio::test]
async fn the_two_429s_are_distinguished_without_an_interpreter_too() {
    let slots = r#"{"code":429,"message":"you have reached the maximum number of concurrent E2B sandboxes (20)"}"#;
    let mut rate = reply(429, r#"{"code":429,"message":"Rate limit exceeded"}"#);
    rate.as_mut().unwrap().headers_mut().insert("retry-after", 3.into());
    let client = client([reply(429, slots), rate]);

    let error = client.create(&NewSandbox::new("base")).await.unwrap_err();
    assert_eq!(error.verdict().outcome, Outcome::Exhausted);
    assert_eq!(error.hint(), Hint::Again { after: None });

    let error = client.create(&NewSandbox::new("base")).await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(error.body().unwrap().message, "Rate limit exceeded");
    assert_eq!(error.hint(), Hint::Again { after: Some(Duration::from_secs(3)) });
}

#[tokio::test]
async fn a_rejection_by_a_layer_is_found_in_the_error() {
    let rejection = Rejection::new("admission", "E2B", Reason::QueueFull { waiting: 256 });
    let client = client([Err(rejection.clone().into())]);
    let error = client.create(&NewSandbox::new("base")).await.unwrap_err();
    assert_eq!(error.rejection(), Some(&rejection));
    let id = error.call().id.unwrap();
    assert_eq!(last_request(&client).extensions().get::<CallId>(), Some(&id));
    assert_eq!(
        error.to_string(),
        format!("`sandbox_create` (call {id}) was not sent: {rejection}")
    );
}

#[tokio::test]
async fn killing_a_sandbox_that_is_gone_succeeds() {
    let client = client([reply(204, ""), reply(404, "{}"), reply(500, "{}")]);
    let id = sandbox().id().clone();
    assert!(client.kill(&id).await.unwrap());
    assert_eq!(last_request(&client).uri(), "http://api.test:3000/sandboxes/i0abc");
    assert!(!client.kill(&id).await.unwrap());
    let error = client.kill(&id).await.unwrap_err();
    assert_eq!(error.hint(), Hint::Again { after: None });
    assert_eq!(error.call().sandbox.as_ref(), Some(&id));
}

#[tokio::test]
async fn a_page_has_the_token_of_the_next() {
    let mut page = reply(200, r#"[{"templateID":"t","sandboxID":"i0abc","state":"paused"}]"#);
    let fields = page.as_mut().unwrap().headers_mut();
    fields.insert("x-next-token", "abc".parse().unwrap());
    fields.insert("x-total-running", 7.into());
    let client = client([page, reply(200, "[]")]);
    let page = client.list(&ListSandboxes::default()).await.unwrap();
    assert_eq!((page.next.as_deref(), page.running), (Some("abc"), Some(7)));
    assert_eq!(page.sandboxes[0].state, State::Paused);
    let page = client.list(&ListSandboxes::default().after("abc")).await.unwrap();
    assert_eq!((page.next, page.sandboxes.len()), (None, 0));
    assert_eq!(last_request(&client).uri(), "http://api.test:3000/v2/sandboxes?nextToken=abc");
}

#[tokio::test]
async fn info_and_health_go_to_the_control_plane() {
    let info = r#"{"templateID":"t","sandboxID":"i0abc","state":"running"}"#;
    let client = client([reply(200, info), reply(200, "ok"), reply(503, "draining")]);
    assert_eq!(client.info(sandbox().id()).await.unwrap().state, State::Running);
    client.health().await.unwrap();
    assert_eq!(recognise(&last_request(&client)).0, op::HEALTH);
    assert!(client.health().await.is_err());
}

#[tokio::test]
async fn a_sandbox_is_alive_if_its_envd_says_so() {
    let gone = r#"{"sandboxId":"i0abc","message":"The sandbox was not found","code":502}"#;
    let client = client([reply(204, ""), reply(502, gone), reply(401, "{}")]);
    assert!(client.envd_health(&sandbox()).await.unwrap());
    let request = last_request(&client);
    assert_eq!(recognise(&request).0, op::ENVD_HEALTH);
    assert_eq!(request.uri(), "http://sandbox.test:3000/health");
    assert_eq!(header(&request, "x-access-token"), Some("tok_secret"));
    assert_eq!(header(&request, "x-api-key"), None, "a sandbox never sees the key");
    assert!(!client.envd_health(&sandbox()).await.unwrap());
    assert!(client.envd_health(&sandbox()).await.is_err());
}

/// A stream of these messages; the last one ends it.
fn stream(messages: &[&str]) -> Vec<u8> {
    let mut envelopes: Vec<Vec<u8>> = messages
        .iter()
        .map(|message| envelope::encode(message.as_bytes()).unwrap().to_vec())
        .collect();
    envelopes.last_mut().unwrap()[0] = 2;
    envelopes.concat()
}

#[tokio::test]
async fn a_command_runs_and_its_output_is_returned() {
    let client = client([reply(
        200,
        stream(&[
            r#"{"event":{"start":{"pid":28}}}"#,
            r#"{"event":{"data":{"stdout":"aGkK"}}}"#,
            r#"{"event":{"end":{"exitCode":3,"exited":true,"status":"exit status 3"}}}"#,
            "{}",
        ]),
    )]);
    let command = Command::new("echo hi; exit 3").user("root").timeout(Duration::from_secs(10));
    let output = client.run(&sandbox(), &command).await.unwrap();
    assert_eq!((output.stdout_text().as_ref(), output.exit_code), ("hi\n", 3));
    let request = last_request(&client);
    assert_eq!(recognise(&request).0, op::PROCESS_START);
    assert_eq!(header(&request, "connect-timeout-ms"), Some("10000"));
    assert_eq!(header(&request, "content-type"), Some("application/connect+json"));
    assert_eq!(header(&request, "authorization"), Some("Basic cm9vdDo="));
    let mut sent = envelope::Decoder::new();
    sent.push(&body(request).await);
    let sent = sent.message().unwrap().unwrap().message;
    let sent = std::str::from_utf8(&sent).unwrap();
    let process = r#"{"process":{"cmd":"/bin/bash","args":["-l","-c","echo hi; exit 3"]},"tag":""#;
    assert!(sent.starts_with(process) && sent.ends_with(r#"","stdin":false}"#), "{sent}");
}

#[tokio::test]
async fn a_command_that_exceeds_its_timeout_is_not_a_failure_of_the_service() {
    let deadline =
        r#"{"error":{"code":"deadline_exceeded","message":"context deadline exceeded"}}"#;
    let client = client([reply(200, stream(&[deadline]))]);
    let command = Command::new("sleep 5").timeout(Duration::from_secs(1));
    let error = client.run(&sandbox(), &command).await.unwrap_err();
    assert!(matches!(error, Error::CommandTimedOut { .. }), "{error}");
    assert_eq!((error.verdict().outcome, error.hint()), (Outcome::Success, Hint::Stop));
}

#[tokio::test]
async fn a_command_whose_stream_breaks_off_may_be_running() {
    let whole = stream(&[r#"{"event":{"start":{"pid":28}}}"#, "{}"]);
    let client = client([reply(200, whole[..20].to_vec()), reply(200, whole), reply(200, "?")]);
    for _ in 0..3 {
        let error = client.run(&sandbox(), &Command::new("make")).await.unwrap_err();
        assert!(matches!(error, Error::BrokenResponse { .. }), "{error}");
        assert_eq!(error.hint(), Hint::Look);
    }
}

#[tokio::test]
async fn a_command_that_cannot_be_run_says_why() {
    let no_cwd = r#"{"error":{"code":"invalid_argument","message":"cwd '/x' does not exist"}}"#;
    let error = client([reply(200, stream(&[no_cwd]))])
        .run(&sandbox(), &Command::new("pwd").cwd("/x"))
        .await
        .unwrap_err();
    let id = error.call().id.unwrap();
    assert_eq!(
        error.to_string(),
        format!("`process_start` of sandbox `i0abc` (call {id}) failed: cwd '/x' does not exist"),
    );
}

#[tokio::test]
async fn no_error_repeats_a_secret() {
    let echo = |secret: &str| reply(400, format!(r#"{{"code":400,"message":"bad {secret}"}}"#));
    let client = client([echo("e2b_key"), echo("tok_secret")]);
    let errors =
        [client.health().await.unwrap_err(), client.envd_health(&sandbox()).await.unwrap_err()];
    for error in errors {
        let shown = format!("{error} {error:?} {client:?}");
        assert!(!shown.contains("e2b_key") && !shown.contains("tok_secret"), "{shown}");
        assert!(shown.contains("bad ***"), "{shown}");
    }
}

#[tokio::test]
async fn the_error_of_a_lost_connection_names_its_cause() {
    let client = client([Err(io::Error::from(io::ErrorKind::ConnectionReset).into())]);
    let error = client.create(&NewSandbox::new("base")).await.unwrap_err();
    assert!(sandtower_core::find::<io::Error>(&error).is_some());
    assert_eq!(error.hint(), Hint::Look);
}

#[test]
fn calls_can_be_spawned() {
    fn is_send(_future: &(impl Future + Send)) -> bool {
        true
    }
    let client = client([]);
    let (new, sandbox, command) = (NewSandbox::new("base"), sandbox(), Command::new("true"));
    assert!(is_send(&client.create(&new)));
    assert!(is_send(&client.run(&sandbox, &command)));
}
