//! A minimal E2B whose failures a test scripts.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use sandtower_core::{BoxError, Seed};
use sandtower_e2b::{
    CallId, Client, Config, E2bClassify, E2bInterpret, E2bReconcile, SandboxTracker, Tracking,
    TrackingLayer,
};
use sandtower_http::{Http, InterpretLayer, Interpreter};
use sandtower_retry::{Retry, RetryLayer};
use sandtower_testkit::{Mock, Reply};
use tower::Layer;

pub(crate) type Req = Request<Full<Bytes>>;
pub(crate) type Res = Response<Full<Bytes>>;
pub(crate) type Attempts = Tracking<Interpreter<Mock<Req, Res>, E2bInterpret>>;
pub(crate) type Retried = Retry<Attempts, E2bClassify, Http, Http, E2bReconcile>;

/// The fate of a request to create a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Created; the response takes this long.
    Created(Duration),
    /// Created; the response is lost.
    Lost,
    /// Created after this long; there is no response.
    Late(Duration),
    /// 503, no capacity.
    Full,
}

/// The sandboxes, and the requests so far.
#[derive(Default)]
pub(crate) struct World {
    /// One for each creation; further ones are [`Fate::Created`] at once.
    pub(crate) fates: Vec<Fate>,
    /// Id, call and attempt of each running sandbox.
    pub(crate) alive: Vec<(String, String, String)>,
    pub(crate) created: usize,
    pub(crate) listed: usize,
    /// How many kills fail first.
    pub(crate) kills_fail: usize,
    pub(crate) kills: usize,
    /// How many kills hang, before any other.
    pub(crate) kills_hang: usize,
    /// Whether listings fail.
    pub(crate) is_blind: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Fake(pub(crate) Arc<Mutex<World>>);

impl Fake {
    pub(crate) fn with(fates: impl Into<Vec<Fate>>) -> Self {
        let fake = Self::default();
        fake.world().fates = fates.into();
        fake
    }

    pub(crate) fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub(crate) fn alive(&self) -> Vec<String> {
        self.world().alive.iter().map(|(id, ..)| id.clone()).collect()
    }

    pub(crate) fn mock(&self) -> Mock<Req, Res> {
        let fake = self.clone();
        Mock::new(move |request: Req, _| fake.respond_to(&request)).0
    }

    fn respond_to(&self, request: &Req) -> Reply<Res> {
        let path = request.uri().path();
        match (request.method(), path.rsplit('/').next()) {
            (&Method::POST, Some("sandboxes")) => self.create(request),
            (&Method::GET, Some("sandboxes")) => self.list(),
            (&Method::DELETE, Some(id)) => self.kill(id),
            (&Method::POST, Some("connect")) => {
                let id = path.rsplit('/').nth(1).unwrap();
                match self.alive().iter().any(|alive| alive == id) {
                    true => reply(200, created(id)),
                    false => reply(404, "{}".to_owned()),
                }
            }
            (&Method::POST, Some("Start")) => reply(200, printed("health_check\n")),
            _ => panic!("unexpected request for {path}"),
        }
    }

    fn create(&self, request: &Req) -> Reply<Res> {
        let call = request.extensions().get::<CallId>().unwrap().to_string();
        let (id, fate) = {
            let mut world = self.world();
            let fate = match world.fates.is_empty() {
                true => Fate::Created(Duration::ZERO),
                false => world.fates.remove(0),
            };
            if fate == Fate::Full {
                let body =
                    r#"{"code":503,"message":"m","error_code":"sandbox_capacity_unavailable"}"#;
                return reply(503, body.to_owned());
            }
            world.created += 1;
            (format!("i{}", world.created), fate)
        };
        let attempt = attempt(request);
        let commit = {
            let (world, sandbox) = (Arc::clone(&self.0), (id.clone(), call, attempt));
            move || world.lock().unwrap().alive.push(sandbox)
        };
        match fate {
            Fate::Created(after) => {
                commit();
                reply(201, created(&id)).after(after)
            }
            Fate::Lost => {
                commit();
                Reply::err(io::Error::from(io::ErrorKind::ConnectionReset))
            }
            Fate::Late(after) => {
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    commit();
                });
                Reply::err(io::Error::from(io::ErrorKind::ConnectionReset))
            }
            Fate::Full => panic!("handled above"),
        }
    }

    fn list(&self) -> Reply<Res> {
        let mut world = self.world();
        world.listed += 1;
        if world.is_blind {
            return Reply::err(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        let rows = world.alive.iter().map(|(id, call, attempt)| {
            format!(
                r#"{{"templateID":"t","sandboxID":"{id}","state":"running","metadata":{{"sandtower_call":"{call}","sandtower_attempt":"{attempt}"}}}}"#
            )
        });
        reply(200, format!("[{}]", rows.collect::<Vec<_>>().join(",")))
    }

    fn kill(&self, id: &str) -> Reply<Res> {
        let mut world = self.world();
        world.kills += 1;
        if world.kills_hang > 0 {
            world.kills_hang -= 1;
            return reply(500, "{}".to_owned()).after(Duration::from_secs(1_000_000));
        }
        if world.kills_fail > 0 {
            world.kills_fail -= 1;
            return reply(500, "{}".to_owned());
        }
        let before = world.alive.len();
        world.alive.retain(|(alive, ..)| alive != id);
        reply(if world.alive.len() < before { 204 } else { 404 }, String::new())
    }
}

/// The number of the attempt, from the body; 0 if it has none.
fn attempt(request: &Req) -> String {
    use http_body_util::BodyExt;
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    let collect = std::pin::pin!(request.body().clone().collect());
    let std::task::Poll::Ready(Ok(whole)) = Future::poll(collect, cx) else {
        panic!("the body is complete")
    };
    let body = String::from_utf8(whole.to_bytes().to_vec()).unwrap();
    let number =
        body.split_once(r#""sandtower_attempt":""#).and_then(|(_, rest)| rest.split('"').next());
    number.unwrap_or("0").to_owned()
}

fn reply(status: u16, body: String) -> Reply<Res> {
    Reply::ok(Response::builder().status(status).body(Full::from(body)).unwrap())
}

pub(crate) fn created(id: &str) -> String {
    format!(r#"{{"templateID":"t","sandboxID":"{id}","envdAccessToken":"tok_secret"}}"#)
}

/// The stream of a command that printed `text` and ended.
fn printed(text: &str) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(text);
    let messages = [
        r#"{"event":{"start":{"pid":1}}}"#.to_owned(),
        format!(r#"{{"event":{{"data":{{"stdout":"{text}"}}}}}}"#),
        r#"{"event":{"end":{"exited":true,"status":"exit status 0"}}}"#.to_owned(),
        "{}".to_owned(),
    ];
    let mut bytes = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        bytes.push(if at == 3 { 2 } else { 0 });
        bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        bytes.extend(message.bytes());
    }
    String::from_utf8(bytes).unwrap()
}

pub(crate) fn config() -> Config {
    let config = Config::new("e2b_key").unwrap().seed(Seed::fixed(1));
    let config = config.api_url("http://api.test").unwrap();
    config.sandbox_url("http://sandbox.test").unwrap()
}

/// One tracked attempt for each call.
pub(crate) fn attempts(fake: &Fake) -> (Client<Attempts>, SandboxTracker) {
    let (config, mock) = (config(), fake.mock());
    let creations = SandboxTracker::new(&config);
    let below = InterpretLayer::new(E2bInterpret::default()).layer(mock);
    (Client::new(TrackingLayer::new(creations.clone()).layer(below), config), creations)
}

/// The same under a retry that reconciles.
pub(crate) fn retried(fake: &Fake) -> (Client<Retried>, SandboxTracker) {
    let (config, mock) = (config(), fake.mock());
    let creations = SandboxTracker::new(&config);
    let below = InterpretLayer::new(E2bInterpret::default()).layer(mock);
    let retry = RetryLayer::new(sandtower_retry::Config::recommended(), E2bClassify)
        .resend(Http)
        .response_hooks(Http);
    let retry = retry.reconcile(E2bReconcile::new(creations.clone())).seed(Seed::fixed(1));
    let service = retry.layer(TrackingLayer::new(creations.clone()).layer(below));
    (Client::new(service, config), creations)
}

pub(crate) fn is_lost(error: &BoxError) -> bool {
    sandtower_core::find::<io::Error>(&**error).is_some()
}
