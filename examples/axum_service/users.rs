//! The users of the service, as HTTP clients.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use sandtower::core::BoxError;
use serde_json::{Value, json};
use tokio::task::JoinSet;

#[derive(Clone)]
pub(crate) struct Users {
    service: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// The responses of each.
pub(crate) type Runs = JoinSet<Result<String, BoxError>>;

impl Users {
    pub(crate) fn of(service: SocketAddr) -> Self {
        Self { service, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// This many users run something concurrently.
    pub(crate) fn run(&self, users: u32) -> Runs {
        (1..=users).map(|user| self.clone().run_one(user)).collect()
    }

    async fn run_one(self, user: u32) -> Result<String, BoxError> {
        let code = format!("import time\ntime.sleep(2)\nprint('hello, user {user}')");
        let run = json!({ "id": format!("user-{user}"), "code": code });
        let request = Request::post(format!("http://{}/run", self.service))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(run.to_string()))?;
        let (head, body) = self.client.request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut got = format!("user {user}: {} {}", head.status, String::from_utf8_lossy(&body));
        if let Some(after) = head.headers.get(header::RETRY_AFTER) {
            got += &format!(" [Retry-After: {}]", after.to_str()?);
        }
        Ok(got)
    }

    /// Polls the runs of this many users until one waits for a sandbox to end, and returns what that user
    /// reads.
    pub(crate) async fn see_one_wait(&self, users: u32) -> Result<String, BoxError> {
        let mut have_begun = false;
        loop {
            let mut running = 0;
            for user in 1..=users {
                let (status, shown) = self.look(&format!("/runs/user-{user}")).await?;
                running += u32::from(status.is_success());
                let message = shown["message"].as_str().unwrap_or_default();
                if message.contains("Waiting for one to end") {
                    return Ok(message.to_owned());
                }
            }
            if have_begun && running == 0 {
                return Err("no user had to wait for a sandbox to end".into());
            }
            have_begun |= running > 0;
        }
    }

    pub(crate) async fn look(&self, path: &str) -> Result<(StatusCode, Value), BoxError> {
        let (status, body) = self.get(path).await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// The first series of this metric, as Prometheus reads it.
    pub(crate) async fn metric(&self, name: &str) -> Result<String, BoxError> {
        let (_, body) = self.get("/metrics").await?;
        let text = String::from_utf8_lossy(&body);
        let series = text.lines().find(|line| line.starts_with(name));
        Ok(series.unwrap_or("no such metric").to_owned())
    }

    async fn get(&self, path: &str) -> Result<(StatusCode, Bytes), BoxError> {
        let request = Request::get(format!("http://{}{path}", self.service));
        let response = self.client.request(request.body(Full::default())?).await?;
        Ok((response.status(), response.into_body().collect().await?.to_bytes()))
    }
}
