//! The users of the service, who speak HTTP to it.

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

/// What each of them got, one after the other.
pub(crate) type Runs = JoinSet<Result<String, BoxError>>;

impl Users {
    pub(crate) fn of(service: SocketAddr) -> Self {
        Self { service, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// So many run something at once.
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

    /// Looks at the runs of so many users until one of them waits for a sandbox to end, and tells what
    /// that one reads.
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
                return Err("nobody had to wait for a sandbox to end".into());
            }
            have_begun |= running > 0;
        }
    }

    pub(crate) async fn look(&self, path: &str) -> Result<(StatusCode, Value), BoxError> {
        let request = Request::get(format!("http://{}{path}", self.service));
        let answer = self.client.request(request.body(Full::default())?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}
