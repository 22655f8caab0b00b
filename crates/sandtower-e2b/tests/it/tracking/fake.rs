//! A tiny E2B, as bad as a test wants it.

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
use sandtower_testkit::{Answer, Mock};
use tower::Layer;

pub(crate) type Req = Request<Full<Bytes>>;
pub(crate) type Res = Response<Full<Bytes>>;
pub(crate) type Attempts = Tracking<Interpreter<Mock<Req, Res>, E2bInterpret>>;
pub(crate) type Retried = Retry<Attempts, E2bClassify, Http, Http, E2bReconcile>;

/// What becomes of a request to make a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Made, and told after so long.
    Made(Duration),
    /// Made, and the answer is lost.
    Lost,
    /// Made after so long, and never told.
    Late(Duration),
    /// 503, no room.
    Full,
}

/// What is there, and what is asked.
#[derive(Default)]
pub(crate) struct World {
    /// One for each request to make a sandbox; then all are [`Fate::Made`] at once.
    pub(crate) fates: Vec<Fate>,
    /// Id, call and attempt of what is alive.
    pub(crate) alive: Vec<(String, String, String)>,
    pub(crate) made: usize,
    pub(crate) listed: usize,
    /// So many kills fail first.
    pub(crate) kills_fail: usize,
    pub(crate) kills: usize,
    /// So many kills do not end, before any other.
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
        Mock::new(move |request: Req, _| fake.answer(&request)).0
    }

    fn answer(&self, request: &Req) -> Answer<Res> {
        let path = request.uri().path();
        match (request.method(), path.rsplit('/').next()) {
            (&Method::POST, Some("sandboxes")) => self.create(request),
            (&Method::GET, Some("sandboxes")) => self.list(),
            (&Method::DELETE, Some(id)) => self.kill(id),
            (&Method::POST, Some("connect")) => {
                let id = path.rsplit('/').nth(1).unwrap();
                match self.alive().iter().any(|alive| alive == id) {
                    true => told(200, created(id)),
                    false => told(404, "{}".to_owned()),
                }
            }
            (&Method::POST, Some("Start")) => told(200, said("health_check\n")),
            _ => panic!("nobody asks for {path}"),
        }
    }

    fn create(&self, request: &Req) -> Answer<Res> {
        let call = request.extensions().get::<CallId>().unwrap().to_string();
        let (id, fate) = {
            let mut world = self.world();
            let fate = match world.fates.is_empty() {
                true => Fate::Made(Duration::ZERO),
                false => world.fates.remove(0),
            };
            if fate == Fate::Full {
                let body =
                    r#"{"code":503,"message":"m","error_code":"sandbox_capacity_unavailable"}"#;
                return told(503, body.to_owned());
            }
            world.made += 1;
            (format!("i{}", world.made), fate)
        };
        let attempt = attempt(request);
        let commit = {
            let (world, made) = (Arc::clone(&self.0), (id.clone(), call, attempt));
            move || world.lock().unwrap().alive.push(made)
        };
        match fate {
            Fate::Made(after) => {
                commit();
                told(201, created(&id)).after(after)
            }
            Fate::Lost => {
                commit();
                Answer::err(io::Error::from(io::ErrorKind::ConnectionReset))
            }
            Fate::Late(after) => {
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    commit();
                });
                Answer::err(io::Error::from(io::ErrorKind::ConnectionReset))
            }
            Fate::Full => panic!("answered above"),
        }
    }

    fn list(&self) -> Answer<Res> {
        let mut world = self.world();
        world.listed += 1;
        if world.is_blind {
            return Answer::err(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        let rows = world.alive.iter().map(|(id, call, attempt)| {
            format!(
                r#"{{"templateID":"t","sandboxID":"{id}","state":"running","metadata":{{"sandtower_call":"{call}","sandtower_attempt":"{attempt}"}}}}"#
            )
        });
        told(200, format!("[{}]", rows.collect::<Vec<_>>().join(",")))
    }

    fn kill(&self, id: &str) -> Answer<Res> {
        let mut world = self.world();
        world.kills += 1;
        if world.kills_hang > 0 {
            world.kills_hang -= 1;
            return told(500, "{}".to_owned()).after(Duration::from_secs(1_000_000));
        }
        if world.kills_fail > 0 {
            world.kills_fail -= 1;
            return told(500, "{}".to_owned());
        }
        let before = world.alive.len();
        world.alive.retain(|(alive, ..)| alive != id);
        told(if world.alive.len() < before { 204 } else { 404 }, String::new())
    }
}

/// The attempt that its body says it is.
fn attempt(request: &Req) -> String {
    use http_body_util::BodyExt;
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    let collect = std::pin::pin!(request.body().clone().collect());
    let std::task::Poll::Ready(Ok(whole)) = Future::poll(collect, cx) else { panic!("it is full") };
    let body = String::from_utf8(whole.to_bytes().to_vec()).unwrap();
    let (_, rest) = body.split_once(r#""sandtower_attempt":""#).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

fn told(status: u16, body: String) -> Answer<Res> {
    Answer::ok(Response::builder().status(status).body(Full::from(body)).unwrap())
}

pub(crate) fn created(id: &str) -> String {
    format!(r#"{{"templateID":"t","sandboxID":"{id}","envdAccessToken":"tok_secret"}}"#)
}

/// A command that printed this and ended.
fn said(text: &str) -> String {
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

/// One attempt a call, each accounted for.
pub(crate) fn attempts(fake: &Fake) -> (Client<Attempts>, SandboxTracker) {
    let (config, mock) = (config(), fake.mock());
    let creations = SandboxTracker::new(&config);
    let below = InterpretLayer::new(E2bInterpret::default()).layer(mock);
    (Client::new(TrackingLayer::new(creations.clone()).layer(below), config), creations)
}

/// The same under a retry that looks first.
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
