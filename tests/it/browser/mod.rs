//! A headless browser, driven over the DevTools protocol.
//!
//! The browser reads messages from its descriptor 3 and responds on 4, each message terminated by a zero
//! byte: no port, no package. Every response is awaited for at most [`TIMEOUT`].

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

mod page;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{env, fs};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time;

pub(crate) use page::Page;

use crate::python_sdk::leave_out;

/// The browser to use.
const BROWSER: &str = "SANDTOWER_BROWSER";

/// How long one response may take: longer than on a busy machine, shorter than a hang.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Nothing on the disk or in the network except what the test requests.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
];

/// A browser with a temporary profile.
#[derive(Debug)]
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    profile: PathBuf,
    last: u64,
    events: VecDeque<Value>,
}

impl Browser {
    /// Starts a browser; without one on this machine the test is left out, but never in CI.
    pub(crate) fn start(test: &str) -> Option<Self> {
        let Some(program) = env::var_os(BROWSER).filter(|program| !program.is_empty()) else {
            assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{BROWSER} is not set");
            leave_out(test, BROWSER);
            return None;
        };
        let folder = format!("browser-{}-{test}", std::process::id());
        let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        let mut child = command(&program, &profile).spawn().unwrap();
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, to, from, profile, last: 0, events: VecDeque::new() })
    }

    /// A new, empty page.
    pub(crate) async fn page(&mut self) -> Page<'_> {
        let target = self.command(None, "Target.createTarget", json!({"url": "about:blank"})).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.command(None, "Target.attachToTarget", attach).await;
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        Page::open(self, session).await
    }

    /// Ends it, and waits until it has.
    pub(crate) async fn close(mut self) {
        self.command(None, "Browser.close", json!({})).await;
        time::timeout(TIMEOUT, self.child.wait()).await.unwrap().unwrap();
    }

    /// The response of the browser to one command.
    async fn command(&mut self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut command = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let mut bytes = serde_json::to_vec(&command).unwrap();
        bytes.push(0);
        self.to.write_all(&bytes).await.unwrap();
        loop {
            let mut response = self.read(method).await;
            if response["id"] == self.last {
                assert!(response["error"].is_null(), "{method}: {}", response["error"]);
                return response["result"].take();
            }
            self.events.push_back(response);
        }
    }

    /// The next event of a name; those before it are kept.
    async fn wait_for(&mut self, session: &str, method: &str) {
        let is_it = |event: &Value| event["method"] == method && event["sessionId"] == session;
        if self.events.iter().any(is_it) {
            return;
        }
        loop {
            let event = self.read(method).await;
            let ends = is_it(&event);
            self.events.push_back(event);
            if ends {
                return;
            }
        }
    }

    async fn read(&mut self, awaited: &str) -> Value {
        let mut bytes = Vec::new();
        let read = time::timeout(TIMEOUT, self.from.read_until(0, &mut bytes)).await;
        let read = read.unwrap_or_else(|_| panic!("{awaited}: nothing after {TIMEOUT:?}"));
        assert_ne!(read.unwrap(), 0, "{awaited}: the browser is gone");
        bytes.pop();
        serde_json::from_slice(&bytes).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // After a failed test it still runs; `kill_on_drop` ends it. Its further output is lost.
        drop(fs::remove_dir_all(&self.profile));
    }
}

fn command(program: &OsStr, profile: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#])
        .arg(program)
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", profile.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}
