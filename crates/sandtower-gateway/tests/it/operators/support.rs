use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use sandtower_gateway::admin::{self, Admin};
use sandtower_gateway::config::Source;
use serde_json::Value;

use crate::support::{LONG, World};

pub(crate) const TOKEN: &str = "5ec5e75ec5e75ec5e75ec5e7";

/// A gateway over a simulator with its listener for operators.
pub(crate) struct Site {
    pub(crate) world: World,
    pub(crate) admin: Admin,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A browser that has logged in.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) cookie: String,
    pub(crate) csrf: String,
}

impl Site {
    pub(crate) async fn new(settings: &[&str]) -> Self {
        let of_world = without_admin(settings);
        Self::over(World::new(&of_world).await, settings).await
    }

    /// Of a gateway that was made with the same settings, without those of the listener.
    pub(crate) async fn over(world: World, settings: &[&str]) -> Self {
        let token = format!("admin.token={TOKEN}");
        let own = ["admin.listen=127.0.0.1:0", &*token].into_iter();
        let of_admin = settings.iter().copied().filter(|setting| setting.starts_with("admin."));
        let source =
            own.chain(of_admin).fold(Source::new(), |source, setting| source.set(setting).unwrap());
        let (config, again) = (source.read().unwrap(), world.source(&without_admin(settings)));
        let admin = admin::start(&world.gateway, config.admin, move || again.read()).await.unwrap();
        Self { world, admin, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.admin.address().unwrap()
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.address()))
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<String> {
        let response = self.client.request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap())
    }

    /// A request without any token.
    pub(crate) async fn get(&self, path: &str) -> Response<String> {
        self.send(self.request("GET", path).body(Full::default()).unwrap()).await
    }

    /// Waits until the response of a path is as wanted, and returns it.
    pub(crate) async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let read = self.read(path).await;
                if holds(&read) {
                    return read;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(LONG, waiting).await {
            Ok(read) => read,
            Err(_) => panic!("{path} never is so: {}", self.read(path).await),
        }
    }

    pub(crate) async fn read(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}: {}", response.body());
        serde_json::from_str(response.body()).unwrap()
    }

    /// A change by a program with the token.
    pub(crate) async fn change(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.by_program("POST", path, body).await
    }

    pub(crate) async fn by_program(
        &self,
        method: &str,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let request = self.request(method, path).header("authorization", format!("Bearer {TOKEN}"));
        let request = request.header("content-type", "application/json");
        let response = self.send(request.body(body.to_string().into()).unwrap()).await;
        (response.status(), serde_json::from_str(response.body()).unwrap_or_default())
    }

    pub(crate) async fn log_in(&self) -> Browser {
        let origin = format!("http://{}", self.address());
        let request = self.request("POST", "/login").header("origin", origin);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let form = format!("token={TOKEN}&next=%2Faudit");
        let response = self.send(request.body(form.into()).unwrap()).await;
        assert_eq!(response.status(), 303, "{}", response.body());
        assert_eq!(response.headers()[header::LOCATION], "/audit");
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.ends_with("; HttpOnly; SameSite=Strict"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let request = self.request("GET", "/").header("cookie", &cookie);
        let page = self.send(request.body(Full::default()).unwrap()).await.into_body();
        let csrf = page.split("name=\"csrf\" content=\"").nth(1).unwrap();
        Browser { cookie, csrf: csrf.split('"').next().unwrap().to_owned() }
    }

    /// A change by a page in a browser.
    pub(crate) async fn press(
        &self,
        browser: &Browser,
        path: &str,
        body: Value,
    ) -> Response<String> {
        let request = self.request("POST", path);
        let request = request
            .header("cookie", &browser.cookie)
            .header("x-csrf-token", &browser.csrf)
            .header("origin", format!("http://{}", self.address()))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).unwrap()).await
    }
}

fn without_admin<'s>(settings: &[&'s str]) -> Vec<&'s str> {
    settings.iter().copied().filter(|setting| !setting.starts_with("admin.")).collect()
}
