//! The messages of envd's `Process/Start`, and what they add up to.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{
    Command, Output, Said,
    envelope::{Envelope, EnvelopeError},
};

#[derive(Serialize)]
struct Start<'a> {
    process: Process<'a>,
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

/// The message that starts `command`.
pub(crate) fn start(command: &Command) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Start {
        process: Process {
            cmd: "/bin/bash",
            args: ["-l", "-c", &command.text],
            envs: &command.envs,
            cwd: command.cwd.as_deref(),
        },
        stdin: false,
    })
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    event: Event,
}

/// Other events, such as those that only keep the connection alive, say nothing here.
#[derive(Default, Deserialize)]
struct Event {
    data: Option<Data>,
    end: Option<End>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct End {
    /// Absent if 0, as always in the JSON of protocol buffers.
    #[serde(default)]
    exit_code: i32,
}

#[derive(Deserialize)]
struct Last {
    error: Option<serde_json::Value>,
}

/// Why a stream of events did not add up to the output of a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("envd sent what is no stream of envelopes")]
    Envelope(#[from] EnvelopeError),
    #[error("envd sent an event that is no json")]
    Json(#[from] serde_json::Error),
    #[error("envd sent output that is no base64")]
    Base64,
    #[error("the stream ended before the command did")]
    NoEnd,
    #[error("the output is longer than {0} bytes")]
    TooLong(usize),
    #[error("envd said: {}", .0.message)]
    Said(Said),
}

/// Adds up the events of one command.
#[derive(Debug)]
pub(crate) struct Collect {
    output: Output,
    longest: usize,
    exited: bool,
    error: Option<Said>,
}

impl Collect {
    pub(crate) fn new(longest: usize) -> Self {
        Self { output: Output::default(), longest, exited: false, error: None }
    }

    /// The next message of the stream.
    pub(crate) fn message(&mut self, envelope: &Envelope) -> Result<(), Broken> {
        if envelope.is_end {
            let last: Last = serde_json::from_slice(&envelope.message)?;
            self.error = last.error.map(|error| Said::parse(error.to_string().as_bytes()));
            return Ok(());
        }
        let Message { event } = serde_json::from_slice(&envelope.message)?;
        if let Some(data) = event.data {
            append(&mut self.output.stdout, &data.stdout)?;
            append(&mut self.output.stderr, &data.stderr)?;
            if self.output.stdout.len() + self.output.stderr.len() > self.longest {
                return Err(Broken::TooLong(self.longest));
            }
        }
        if let Some(end) = event.end {
            self.output.exit_code = end.exit_code;
            self.exited = true;
        }
        Ok(())
    }

    /// What the stream, of which there is no more, adds up to.
    pub(crate) fn finish(self) -> Result<Output, Broken> {
        match self.error {
            Some(said) => Err(Broken::Said(said)),
            None if self.exited => Ok(self.output),
            None => Err(Broken::NoEnd),
        }
    }
}

fn append(output: &mut Vec<u8>, data: &str) -> Result<(), Broken> {
    STANDARD.decode_vec(data, output).map_err(|_| Broken::Base64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn event(json: &str) -> Envelope {
        Envelope { is_end: false, message: json.as_bytes().to_vec().into() }
    }

    fn last(json: &str) -> Envelope {
        Envelope { is_end: true, ..event(json) }
    }

    fn collect(longest: usize, envelopes: &[Envelope]) -> Result<Output, Broken> {
        let mut collect = Collect::new(longest);
        envelopes.iter().try_for_each(|envelope| collect.message(envelope))?;
        collect.finish()
    }

    #[test]
    fn a_command_is_started_as_the_official_sdk_does_it() {
        let bare = Command::new("echo hi").timeout(Duration::from_secs(1));
        assert_eq!(
            String::from_utf8(start(&bare).unwrap()).unwrap(),
            r#"{"process":{"cmd":"/bin/bash","args":["-l","-c","echo hi"]},"stdin":false}"#,
        );
        let full = Command::new("exit 3").env("B", "2").cwd("/tmp");
        assert_eq!(
            String::from_utf8(start(&full).unwrap()).unwrap(),
            r#"{"process":{"cmd":"/bin/bash","args":["-l","-c","exit 3"],"envs":{"B":"2"},"cwd":"/tmp"},"stdin":false}"#,
        );
    }

    #[test]
    fn the_events_of_a_command_add_up_to_its_output() {
        let output = collect(
            100,
            &[
                event(r#"{"event":{"start":{"pid":130}}}"#),
                event(r#"{"event":{"data":{"stdout":"aGkK"}}}"#),
                event(r#"{"event":{"keepalive":{}}}"#),
                event(r#"{"event":{"data":{"stderr":"ZXJyCg=="}}}"#),
                event(r#"{"event":{"end":{"exitCode":3,"exited":true,"status":"exit status 3"}}}"#),
                last("{}"),
            ],
        )
        .unwrap();
        assert_eq!(
            (output.stdout_text().as_ref(), output.stderr_text().as_ref()),
            ("hi\n", "err\n")
        );
        assert_eq!((output.exit_code, output.is_success()), (3, false));
    }

    #[test]
    fn an_exit_code_that_is_not_there_is_0() {
        let end = event(r#"{"event":{"end":{"exited":true,"status":"exit status 0"}}}"#);
        assert!(collect(0, &[end, last("{}")]).unwrap().is_success());
    }

    #[test]
    fn an_error_in_the_last_envelope_fails_the_stream() {
        let error = r#"{"error":{"code":"invalid_argument","message":"no such cwd"}}"#;
        let Err(Broken::Said(said)) = collect(0, &[last(error)]) else { panic!("it went well") };
        assert_eq!(
            (said.message.as_str(), said.code.as_deref()),
            ("no such cwd", Some("invalid_argument"))
        );
    }

    #[test]
    fn a_stream_without_the_end_of_the_command_is_broken() {
        assert!(matches!(collect(9, &[last("{}")]), Err(Broken::NoEnd)));
    }

    #[test]
    fn output_beyond_the_cap_and_nonsense_are_errors() {
        let hi = event(r#"{"event":{"data":{"stdout":"aGkK"}}}"#);
        assert!(matches!(collect(2, &[hi]), Err(Broken::TooLong(2))));
        let crooked = event(r#"{"event":{"data":{"stdout":"%"}}}"#);
        assert!(matches!(collect(9, &[crooked]), Err(Broken::Base64)));
        assert!(matches!(collect(9, &[event("[")]), Err(Broken::Json(_))));
    }
}
