//! The requests of `process.Process` as JSON.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use crate::{Command, api::process::Selector};

#[derive(Serialize)]
struct Start<'a> {
    process: Process<'a>,
    tag: &'a str,
    stdin: bool,
}

#[derive(Serialize)]
struct Process<'a> {
    cmd: &'static str,
    args: [&'a str; 3],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    envs: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<&'a str>,
}

/// Starts `command` under a name by which it can be selected.
pub(crate) fn start<'a>(command: &'a Command, tag: &'a str) -> impl Serialize + 'a {
    Start {
        process: Process {
            cmd: "/bin/bash",
            args: ["-l", "-c", &command.text],
            envs: &command.envs,
            cwd: command.cwd.as_deref(),
        },
        tag,
        stdin: command.stdin,
    }
}

#[derive(Serialize)]
struct About<'a, T: Serialize> {
    process: &'a Selector,
    #[serde(flatten)]
    what: T,
}

#[derive(Serialize)]
struct Nothing {}

/// Connects to a running process.
pub(crate) fn connect(process: &Selector) -> impl Serialize + '_ {
    About { process, what: Nothing {} }
}

/// Closes standard input.
pub(crate) fn close_stdin(process: &Selector) -> impl Serialize + '_ {
    connect(process)
}

/// Writes to standard input.
pub(crate) fn send_input<'a>(process: &'a Selector, data: &[u8]) -> impl Serialize + 'a {
    #[derive(Serialize)]
    struct Sent {
        input: Input,
    }
    #[derive(Serialize)]
    struct Input {
        stdin: String,
    }
    About { process, what: Sent { input: Input { stdin: STANDARD.encode(data) } } }
}

/// A signal that ends a process.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Signal {
    #[serde(rename = "SIGNAL_SIGTERM")]
    Terminate,
    #[serde(rename = "SIGNAL_SIGKILL")]
    Kill,
}

/// Sends a signal.
pub(crate) fn send_signal(process: &Selector, signal: Signal) -> impl Serialize + '_ {
    #[derive(Serialize)]
    struct Sent {
        signal: Signal,
    }
    About { process, what: Sent { signal } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(message: &impl Serialize) -> String {
        serde_json::to_string(message).unwrap()
    }

    #[test]
    fn a_command_is_started_as_the_official_sdk_does_and_with_a_name() {
        assert_eq!(
            json(&start(&Command::new("echo hi"), "c1")),
            r#"{"process":{"cmd":"/bin/bash","args":["-l","-c","echo hi"]},"tag":"c1","stdin":false}"#,
        );
        let full = Command::new("exit 3").env("B", "2").cwd("/tmp").stdin(true);
        assert_eq!(
            json(&start(&full, "c1")),
            r#"{"process":{"cmd":"/bin/bash","args":["-l","-c","exit 3"],"envs":{"B":"2"},"cwd":"/tmp"},"tag":"c1","stdin":true}"#,
        );
    }

    #[test]
    fn requests_to_a_process_are_as_recorded() {
        let pid = Selector::from(232);
        assert_eq!(
            json(&send_input(&pid, b"abc\n")),
            r#"{"process":{"pid":232},"input":{"stdin":"YWJjCg=="}}"#,
        );
        assert_eq!(
            json(&send_signal(&pid, Signal::Kill)),
            r#"{"process":{"pid":232},"signal":"SIGNAL_SIGKILL"}"#,
        );
        let tag = Selector::tag("req-123");
        assert_eq!(json(&connect(&tag)), r#"{"process":{"tag":"req-123"}}"#);
    }
}
