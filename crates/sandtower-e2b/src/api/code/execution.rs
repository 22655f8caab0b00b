use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::api::lenient::{null_is_empty, odd_is_absent};

/// What came of code that ran.
///
/// An [`error`](Self::error) is one of the code's own: the service did what it was asked. Its `Debug`
/// shows how much was printed, not what.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Execution {
    /// What it evaluated to and displayed.
    pub results: Vec<CodeResult>,
    /// What it printed to its standard output.
    pub stdout: String,
    /// What it printed to its standard error.
    pub stderr: String,
    /// What it ended by, if not by its end.
    pub error: Option<Exception>,
    /// How many executions its context has seen, with this one.
    pub count: Option<u32>,
}

impl Execution {
    /// The text of its main result: what its last line evaluated to.
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

/// What code does that runs.
///
/// Its `Debug` shows how much was printed, not what.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum CodeEvent {
    /// How many executions its context has seen, with this one.
    Count(u32),
    /// It printed this to its standard output.
    Stdout(String),
    /// It printed this to its standard error.
    Stderr(String),
    /// It evaluated to this, or displayed it.
    Result(CodeResult),
    /// It raised an exception.
    Error(Exception),
}

/// Something that code evaluated to or displayed, in one or more forms.
///
/// Its `Debug` shows which, not what is in them.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct CodeResult {
    /// Whether its last line evaluated to it.
    pub is_main: bool,
    /// Its forms, by name: `text`, `html`, `markdown`, `svg`, `png`, `jpeg`, `pdf` (these three in
    /// base64), `latex`, `json`, `javascript`, `data`, `chart`, and others there may be.
    pub forms: BTreeMap<String, Value>,
}

impl CodeResult {
    /// Its form as text.
    pub fn text(&self) -> Option<&str> {
        self.forms.get("text").and_then(Value::as_str)
    }
}

/// An exception of the user's code.
///
/// Its `Debug` shows its type alone: message and traceback quote the code.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Exception {
    /// Its type, such as `ValueError`.
    #[serde(deserialize_with = "odd_is_absent")]
    pub name: String,
    /// Its message.
    #[serde(deserialize_with = "odd_is_absent")]
    pub value: String,
    /// Where it was raised.
    #[serde(deserialize_with = "odd_is_absent")]
    pub traceback: String,
}

/// What code prints, and what it evaluates to, may be secrets as much as the code itself.
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

/// A line of the interpreter's response.
pub(super) enum Told {
    Event(CodeEvent),
    /// Nothing comes after it.
    End,
    /// Something unknown.
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
pub(super) fn read(line: &[u8]) -> Result<Told, serde_json::Error> {
    Ok(Told::Event(match serde_json::from_slice(line)? {
        Line::NumberOfExecutions { execution_count: Some(count) } => CodeEvent::Count(count),
        Line::NumberOfExecutions { execution_count: None } => return Ok(Told::Nothing),
        Line::Stdout { text } => CodeEvent::Stdout(text),
        Line::Stderr { text } => CodeEvent::Stderr(text),
        Line::Result { is_main_result: is_main, mut forms } => {
            // What has no such form is said to have a null one.
            forms.retain(|_, form| !form.is_null());
            CodeEvent::Result(CodeResult { is_main, forms })
        }
        Line::Error(error) => CodeEvent::Error(error),
        Line::EndOfExecution => return Ok(Told::End),
        Line::Other => return Ok(Told::Nothing),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(lines: &[&str]) -> Execution {
        let mut execution = Execution::default();
        for line in lines {
            if let Told::Event(event) = read(line.as_bytes()).unwrap() {
                execution.add(event);
            }
        }
        execution
    }

    #[test]
    fn recorded_lines_add_up_to_an_execution() {
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
    fn an_exception_of_the_users_is_data() {
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
