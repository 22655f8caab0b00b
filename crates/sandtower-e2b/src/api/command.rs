use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// A command for the shell of a sandbox.
///
/// It is run by `/bin/bash -l -c`.
///
/// ```
/// use std::time::Duration;
/// use sandtower_e2b::Command;
///
/// let test = Command::new("make test")
///     .cwd("/home/user/project")
///     .env("CI", "true")
///     .timeout(Duration::from_secs(30));
/// # let _ = test;
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    pub(crate) text: String,
    pub(crate) envs: BTreeMap<String, String>,
    pub(crate) cwd: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) longest_output: usize,
    pub(crate) stdin: bool,
    pub(crate) tag: Option<String>,
}

impl Command {
    /// How long a command may run by default: 60 s, as in the official SDKs.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
    /// How long a command that [builds](Self::build) may run by default: 120 s.
    pub const BUILD_TIMEOUT: Duration = Duration::from_secs(120);
    /// The most output that is collected by default: 16 MiB.
    pub const DEFAULT_LONGEST_OUTPUT: usize = 16 * 1_024 * 1_024;

    /// The command `text`, by the default user in the default directory.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            envs: BTreeMap::new(),
            cwd: None,
            user: None,
            timeout: Some(Self::DEFAULT_TIMEOUT),
            longest_output: Self::DEFAULT_LONGEST_OUTPUT,
            stdin: false,
            tag: None,
        }
    }

    /// The command `text`, which builds something: it may run for 120 s.
    pub fn build(text: impl Into<String>) -> Self {
        Self::new(text).timeout(Self::BUILD_TIMEOUT)
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.envs.insert(name.into(), value.into());
        self
    }

    /// Where it runs.
    #[must_use]
    pub fn cwd(mut self, directory: impl Into<String>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// Who runs it.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.user = Some(name.into());
        self
    }

    /// How long the call may take, time in a queue included; `None`: forever. The sandbox kills the command
    /// once it has run for so long; a call that waited before it was sent returns sooner than that.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// How many bytes of output, standard output and error together, are collected at most. More is
    /// an error, so that no command fills the memory of who runs it.
    #[must_use]
    pub fn longest_output(mut self, bytes: usize) -> Self {
        self.longest_output = bytes;
        self
    }

    /// Whether its standard input stays open, to be [written to](crate::Client::send_stdin). Without
    /// it there is none.
    #[must_use]
    pub fn stdin(mut self, open: bool) -> Self {
        self.stdin = open;
        self
    }

    /// The name to find it by in its sandbox. Without one that is the id of the call that starts it.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// What of it must not be shown.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &String> {
        self.envs.values().chain([&self.text])
    }
}

/// Environment variables may be secrets, and commands hold them too: neither is shown.
impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command")
            .field("envs", &self.envs.keys().collect::<Vec<_>>())
            .field("cwd", &self.cwd)
            .field("user", &self.user)
            .field("timeout", &self.timeout)
            .field("stdin", &self.stdin)
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

/// What a command left behind.
///
/// Its `Debug` shows how much was printed, not what.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// Its exit code: 0 for success, below 0 if a signal ended it.
    pub exit_code: i32,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("stdout", &format_args!("{} bytes", self.stdout.len()))
            .field("stderr", &format_args!("{} bytes", self.stderr.len()))
            .field("exit_code", &self.exit_code)
            .finish()
    }
}

impl Output {
    /// Whether its exit code is 0.
    pub fn is_success(&self) -> bool {
        self.exit_code == 0
    }

    /// Its standard output as text; what is no UTF-8 is replaced.
    pub fn stdout_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Its standard error as text; what is no UTF-8 is replaced.
    pub fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }
}
