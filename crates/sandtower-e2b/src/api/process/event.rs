use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;

use crate::ErrorBody;
use crate::api::lenient::{null_is_empty, odd_is_absent};

/// An event of a running process.
///
/// `Debug` shows the length of the output, not its content.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessEvent {
    /// The process wrote to standard output.
    Stdout(Bytes),
    /// The process wrote to standard error.
    Stderr(Bytes),
    /// The process ended. No event follows.
    Exit(Exit),
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// The exit code: 0 for success, negative if a signal ended the process.
    pub code: i32,
    /// The exit status as text, such as `exit status 3` or `signal: killed`.
    pub status: String,
}

impl Exit {
    /// Whether the exit code is 0.
    pub fn is_success(&self) -> bool {
        self.code == 0
    }
}

impl std::fmt::Debug for ProcessEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout(piece) => write!(f, "Stdout({} bytes)", piece.len()),
            Self::Stderr(piece) => write!(f, "Stderr({} bytes)", piece.len()),
            Self::Exit(exit) => f.debug_tuple("Exit").field(exit).finish(),
        }
    }
}

/// A message of a process stream that is not its last.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Started {
        pid: u32,
    },
    Event(ProcessEvent),
    /// A keepalive, or something unknown.
    Alive,
}

/// A message that cannot be parsed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Nonsense {
    #[error("envd sent an event that is not JSON")]
    Json(#[from] serde_json::Error),
    #[error("envd sent output that is not base64")]
    Base64,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default, deserialize_with = "null_is_empty")]
    event: Event,
}

#[derive(Default, Deserialize)]
struct Event {
    start: Option<Start>,
    data: Option<Data>,
    end: Option<End>,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default, deserialize_with = "odd_is_absent")]
    pid: u32,
}

#[derive(Deserialize)]
struct Data {
    stdout: Option<String>,
    stderr: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct End {
    /// Absent if 0, as in all JSON of protocol buffers.
    #[serde(default, deserialize_with = "null_is_empty")]
    exit_code: i32,
    #[serde(default, deserialize_with = "odd_is_absent")]
    status: String,
}

#[derive(Deserialize)]
struct Last {
    error: Option<serde_json::Value>,
}

/// Reads a message that is not the last.
pub(super) fn read(message: &[u8]) -> Result<Message, Nonsense> {
    let Wire { event } = serde_json::from_slice(message)?;
    Ok(match event {
        Event { end: Some(End { exit_code: code, status }), .. } => {
            Message::Event(ProcessEvent::Exit(Exit { code, status }))
        }
        Event { data: Some(Data { stdout: Some(printed), .. }), .. } => {
            Message::Event(ProcessEvent::Stdout(decode(&printed)?))
        }
        Event { data: Some(Data { stderr: Some(printed), .. }), .. } => {
            Message::Event(ProcessEvent::Stderr(decode(&printed)?))
        }
        Event { start: Some(Start { pid }), .. } => Message::Started { pid },
        _ => Message::Alive,
    })
}

/// Reads the last message: the error, if any.
pub(super) fn read_last(message: &[u8]) -> Result<Option<ErrorBody>, Nonsense> {
    let last: Last = serde_json::from_slice(message)?;
    Ok(last.error.map(|error| ErrorBody::parse(error.to_string().as_bytes())))
}

fn decode(printed: &str) -> Result<Bytes, Nonsense> {
    STANDARD.decode(printed).map(Bytes::from).map_err(|_| Nonsense::Base64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(json: &str) -> Message {
        read(json.as_bytes()).unwrap()
    }

    #[test]
    fn recorded_messages_are_parsed() {
        assert_eq!(parsed(r#"{"event":{"start":{"pid":130}}}"#), Message::Started { pid: 130 });
        assert_eq!(parsed(r#"{"event":{"keepalive":{}}}"#), Message::Alive);
        assert_eq!(
            parsed(r#"{"event":{"data":{"stdout":"aGkK"}}}"#),
            Message::Event(ProcessEvent::Stdout("hi\n".into())),
        );
        assert_eq!(
            parsed(r#"{"event":{"data":{"stderr":"ZXJyCg=="}}}"#),
            Message::Event(ProcessEvent::Stderr("err\n".into())),
        );
        let ended = |code, status: &str| {
            Message::Event(ProcessEvent::Exit(Exit { code, status: status.to_owned() }))
        };
        assert_eq!(
            parsed(
                r#"{"event":{"end":{"exitCode":3,"exited":true,"status":"exit status 3","error":"exit status 3"}}}"#
            ),
            ended(3, "exit status 3"),
        );
        assert_eq!(
            parsed(r#"{"event":{"end":{"exited":true,"status":"exit status 0"}}}"#),
            ended(0, "exit status 0"),
        );
        assert_eq!(
            parsed(
                r#"{"event":{"end":{"exitCode":-1,"status":"signal: killed","error":"signal: killed"}}}"#
            ),
            ended(-1, "signal: killed"),
        );
    }

    #[test]
    fn the_last_message_has_the_error() {
        assert_eq!(read_last(b"{}").unwrap(), None);
        let error = br#"{"error":{"code":"invalid_argument","message":"no such cwd"}}"#;
        let body = read_last(error).unwrap().unwrap();
        assert_eq!(
            (body.message.as_str(), body.code.as_deref()),
            ("no such cwd", Some("invalid_argument")),
        );
    }

    #[test]
    fn an_invalid_message_is_an_error_and_an_unknown_one_is_skipped() {
        assert!(matches!(read(br#"{"event":{"data":{"stdout":"%"}}}"#), Err(Nonsense::Base64)));
        assert!(matches!(read(b"["), Err(Nonsense::Json(_))));
        assert_eq!(parsed(r#"{"event":{"data":{"pty":"aGkK"}}}"#), Message::Alive);
        assert_eq!(parsed("{}"), Message::Alive);
    }

    #[test]
    fn debug_does_not_show_output() {
        let event = ProcessEvent::Stdout("tok_secret".into());
        assert_eq!(format!("{event:?}"), "Stdout(10 bytes)");
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(message in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (read(&message), read_last(&message));
        }
    }
}
