use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::api::lenient::{null_is_empty, odd_is_absent};

/// The result of running code.
///
/// An [`error`](Self::error) is an exception of the code, not a failure of the service. `Debug` shows the
/// length of the output, not its content.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Execution {
    /// The values that the code evaluated to or displayed.
    pub results: Vec<CodeResult>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The exception that ended the code, if any.
    pub error: Option<Exception>,
    /// The number of executions in this context, this one included.
    pub count: Option<u32>,
}

impl Execution {
    /// The text of the main result: the value of the last line.
    pub fn text(&self) -> Option<&str> {
        self.results.iter().find(|result| result.is_main).and_then(CodeResult::text)
    }

    pub(crate) fn add(&mut self, event: CodeEvent) {
        match event {
            CodeEvent::Count(count) => self.count = Some(count),
            CodeEvent::Stdout(text) => self.stdout.push_str(&text),
            CodeEvent::Stderr(text) => self.stderr.push_str(&text),
            CodeEvent::Result(result) => self.results.push(result),
            CodeEvent::Error(error) => self.error = Some(error),
        }
    }
}

/// An event of running code.
///
/// `Debug` shows the length of the output, not its content.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum CodeEvent {
    /// The number of executions in this context, this one included.
    Count(u32),
    /// The code wrote to standard output.
    Stdout(String),
    /// The code wrote to standard error.
    Stderr(String),
    /// The code evaluated to this value, or displayed it.
    Result(CodeResult),
    /// The code raised an exception.
    Error(Exception),
}

/// A value that code evaluated to or displayed, in one or more formats.
///
/// `Debug` shows the names of the formats, not the values.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct CodeResult {
    /// Whether this is the value of the last line.
    pub is_main: bool,
    /// The value by format: `text`, `html`, `markdown`, `svg`, `png`, `jpeg`, `pdf` (these three in
    /// base64), `latex`, `json`, `javascript`, `data`, `chart`, and possibly others.
    pub forms: BTreeMap<String, Value>,
}

impl CodeResult {
    /// The value as text.
    pub fn text(&self) -> Option<&str> {
        self.forms.get("text").and_then(Value::as_str)
    }
}

/// An exception raised by the user's code.
///
/// `Debug` shows the type alone: message and traceback quote the code.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Exception {
    /// The type, such as `ValueError`.
    #[serde(deserialize_with = "odd_is_absent")]
    pub name: String,
    /// The message.
    #[serde(deserialize_with = "odd_is_absent")]
    pub value: String,
    /// The traceback.
    #[serde(deserialize_with = "odd_is_absent")]
    pub traceback: String,
}

/// Output and results may hold secrets, like the code itself.
impl std::fmt::Debug for Execution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Execution")
            .field("results", &self.results)
            .field("stdout", &format_args!("{} bytes", self.stdout.len()))
            .field("stderr", &format_args!("{} bytes", self.stderr.len()))
            .field("error", &self.error)
            .field("count", &self.count)
            .finish()
    }
}

impl std::fmt::Debug for CodeEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => write!(f, "Count({count})"),
            Self::Stdout(text) => write!(f, "Stdout({} bytes)", text.len()),
            Self::Stderr(text) => write!(f, "Stderr({} bytes)", text.len()),
            Self::Result(result) => f.debug_tuple("Result").field(result).finish(),
            Self::Error(error) => f.debug_tuple("Error").field(error).finish(),
        }
    }
}

impl std::fmt::Debug for CodeResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeResult")
            .field("is_main", &self.is_main)
            .field("forms", &self.forms.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl std::fmt::Debug for Exception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exception").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One line of the interpreter's response.
pub(super) enum Parsed {
    Event(CodeEvent),
    /// The execution has ended; nothing follows.
    End,
    /// A line of an unknown kind.
    Nothing,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    NumberOfExecutions {
        #[serde(default, deserialize_with = "odd_is_absent")]
        execution_count: Option<u32>,
    },
    Stdout {
        #[serde(default, deserialize_with = "null_is_empty")]
        text: String,
    },
    Stderr {
        #[serde(default, deserialize_with = "null_is_empty")]
        text: String,
    },
    Result {
        #[serde(default, deserialize_with = "odd_is_absent")]
        is_main_result: bool,
        #[serde(flatten)]
        forms: BTreeMap<String, Value>,
    },
    Error(Exception),
    EndOfExecution,
    #[serde(other)]
    Other,
}

/// Reads one line.
pub(super) fn read(line: &[u8]) -> Result<Parsed, serde_json::Error> {
    Ok(Parsed::Event(match serde_json::from_slice(line)? {
        Line::NumberOfExecutions { execution_count: Some(count) } => CodeEvent::Count(count),
        Line::NumberOfExecutions { execution_count: None } => return Ok(Parsed::Nothing),
        Line::Stdout { text } => CodeEvent::Stdout(text),
        Line::Stderr { text } => CodeEvent::Stderr(text),
        Line::Result { is_main_result: is_main, mut forms } => {
            // A result without this format has it as `null`.
            forms.retain(|_, form| !form.is_null());
            CodeEvent::Result(CodeResult { is_main, forms })
        }
        Line::Error(error) => CodeEvent::Error(error),
        Line::EndOfExecution => return Ok(Parsed::End),
        Line::Other => return Ok(Parsed::Nothing),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(lines: &[&str]) -> Execution {
        let mut execution = Execution::default();
        for line in lines {
            if let Parsed::Event(event) = read(line.as_bytes()).unwrap() {
                execution.add(event);
            }
        }
        execution
    }

    #[test]
    fn recorded_lines_yield_an_execution() {
        let execution = execution(&[
            r#"{"type": "number_of_executions", "execution_count": 1}"#,
            r#"{"type": "stdout", "text": "hi\n", "timestamp": "2026-11-22T03:51:09Z"}"#,
            r#"{"type": "result", "text": "2", "html": null, "is_main_result": true}"#,
            r#"{"type": "end_of_execution"}"#,
        ]);
        assert_eq!((execution.stdout.as_str(), execution.text()), ("hi\n", Some("2")));
        assert_eq!((execution.count, execution.error), (Some(1), None));
        assert_eq!(execution.results[0].forms.len(), 1);
    }

    #[test]
    fn an_exception_in_user_code_is_data() {
        let execution = execution(&[
            r#"{"type": "stderr", "text": "oh"}"#,
            r#"{"type": "error", "name": "ValueError", "value": "no", "traceback": "..."}"#,
            r#"{"type": "keepalive"}"#,
        ]);
        let error = execution.error.unwrap();
        assert_eq!((error.name.as_str(), error.value.as_str()), ("ValueError", "no"));
        assert_eq!(execution.stderr, "oh");
    }
}
