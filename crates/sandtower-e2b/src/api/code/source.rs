use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Code for the code interpreter of a sandbox. The template must include the interpreter.
///
/// ```
/// use std::time::Duration;
/// use sandtower_e2b::Code;
///
/// let code = Code::new("1 + 1").timeout(Duration::from_secs(30));
/// # let _ = code;
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Code {
    #[serde(rename = "code")]
    text: String,
    #[serde(rename = "context_id", skip_serializing_if = "Option::is_none")]
    context: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(rename = "env_vars", skip_serializing_if = "BTreeMap::is_empty")]
    envs: BTreeMap<String, String>,
    #[serde(skip)]
    pub(crate) timeout: Option<Duration>,
    #[serde(skip)]
    pub(crate) longest: usize,
}

impl Code {
    /// How long code may run by default: 300 s, as in the official SDKs.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
    /// How much an execution may return by default: 16 MiB.
    pub const DEFAULT_LONGEST: usize = 16 * 1_024 * 1_024;

    /// The code `text`, in Python and in the default context.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            context: None,
            language: None,
            envs: BTreeMap::new(),
            timeout: Some(Self::DEFAULT_TIMEOUT),
            longest: Self::DEFAULT_LONGEST,
        }
    }

    /// Runs in the default context of another language. Replaces the [context](Self::context): the
    /// service allows only one of the two.
    #[must_use]
    pub fn language(mut self, language: impl Into<String>) -> Self {
        (self.language, self.context) = (Some(language.into()), None);
        self
    }

    /// Runs in the [context](crate::Context) with this id and sees its variables. Replaces the
    /// [language](Self::language).
    #[must_use]
    pub fn context(mut self, id: impl Into<String>) -> Self {
        (self.context, self.language) = (Some(id.into()), None);
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.envs.insert(name.into(), value.into());
        self
    }

    /// The timeout of the call, time in a queue included; `None`: none.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// The most bytes that an execution may return: output, results and charts. More is an error.
    #[must_use]
    pub fn longest(mut self, bytes: usize) -> Self {
        self.longest = bytes;
        self
    }

    /// The values that must not be shown.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &String> {
        self.envs.values().chain([&self.text])
    }
}

/// Code and environment variables may hold secrets, so neither is shown.
impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code")
            .field("context", &self.context)
            .field("language", &self.language)
            .field("envs", &self.envs.keys().collect::<Vec<_>>())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sent_as_recorded_and_debug_shows_no_secrets() {
        let code = Code::new("print('hi'); 1+1");
        assert_eq!(serde_json::to_string(&code).unwrap(), r#"{"code":"print('hi'); 1+1"}"#);
        let code = Code::new("secret()").language("js").context("c1").env("A", "secret");
        assert_eq!(
            serde_json::to_string(&code).unwrap(),
            r#"{"code":"secret()","context_id":"c1","env_vars":{"A":"secret"}}"#,
        );
        assert!(!format!("{code:?}").contains("secret"));
    }
}
