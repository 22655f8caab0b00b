use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use sandtower_gateway::virtual_keys::{KeyId, NewKey};
use sandtower_sim::{Limits, Plan, Rate};
use serde_json::{Value, json};

use crate::support::{KEY, World};

/// A folder for temporary files, gone with this.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("sandtower-keys-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("upstream"), format!("{KEY}\n")).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// What a gateway leaves behind that is killed now.
    pub(crate) fn killed(&self) -> Self {
        let other = Self::new();
        for name in ["keys.db", "keys.db-wal"] {
            let from = self.0.join(name);
            if from.exists() {
                std::fs::copy(from, other.0.join(name)).unwrap();
            }
        }
        other
    }

    /// The settings of a gateway that keeps its keys in here.
    pub(crate) fn settings(&self) -> Vec<String> {
        vec![
            format!("keys.upstream.team.file={}", self.path("upstream")),
            format!("keys.store={}", self.path("keys.db")),
            "keys.pass_through=false".to_owned(),
        ]
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A gateway with virtual keys over a simulator of this plan.
pub(crate) async fn keyed(folder: &Folder, sim: sandtower_sim::Config, more: &[&str]) -> World {
    let settings = folder.settings();
    let all = settings.iter().map(String::as_str).chain([PLAN]).chain(more.iter().copied());
    let all: Vec<_> = all.collect();
    World::over(sim, &all).await
}

/// A simulator without limits of its own that would be met.
pub(crate) fn roomy() -> sandtower_sim::Config {
    let rate = Rate::new(Duration::from_micros(100), 10_000);
    let own = Limits { create: rate, concurrent_sandboxes: 1_100, ..Plan::Pro.limits() };
    sandtower_sim::Config::new().limits(own).ledger_capacity(10_000)
}

/// What the gateway knows of it.
const PLAN: &str =
    r#"stack.custom_plan={create_every="1ms",sandboxes=1100,concurrent_creates=200}"#;

impl World {
    /// A new key: its id and its secret.
    pub(crate) fn key(&self, new: NewKey) -> (KeyId, String) {
        let (info, secret) = self.gateway.virtual_keys().create(new).unwrap();
        (info.id, secret.expose().to_owned())
    }

    pub(crate) async fn by(
        &self,
        key: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Response<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(self.uri(path))
            .header("x-api-key", key)
            .header("content-type", "application/json");
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        self.send(request.body(Full::new(body)).unwrap()).await
    }

    /// Creates a sandbox that lives for so many seconds.
    pub(crate) async fn create_by(
        &self,
        key: &str,
        timeout: u32,
    ) -> Result<String, Response<Bytes>> {
        let new = json!({"templateID": "base", "timeout": timeout, "metadata": {"user": "u"}});
        let response = self.by(key, "POST", "/v2/sandboxes", Some(new)).await;
        if response.status() != 201 {
            return Err(response);
        }
        let sandbox: Value = serde_json::from_slice(response.body()).unwrap();
        Ok(sandbox["sandboxID"].as_str().unwrap().to_owned())
    }
}

pub(crate) fn json_of(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}
