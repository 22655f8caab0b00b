use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// A shell command to run in a sandbox.
///
/// It runs as `/bin/bash -l -c <text>`.
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
    /// How long a [build](Self::build) command may run by default: 120 s.
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

    /// The command `text`, which builds something: its timeout is 120 s.
    pub fn build(text: impl Into<String>) -> Self {
        Self::new(text).timeout(Self::BUILD_TIMEOUT)
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.envs.insert(name.into(), value.into());
        self
    }

    /// The working directory.
    #[must_use]
    pub fn cwd(mut self, directory: impl Into<String>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// The user that runs it.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.user = Some(name.into());
        self
    }

    /// The timeout of the call, time in a queue included; `None`: none. The sandbox kills the command once
    /// it has run for this long; a call that had to wait before it was sent returns sooner.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// The most bytes of standard output and standard error together that are collected. More is an error,
    /// so that no command exhausts the caller's memory.
    #[must_use]
    pub fn longest_output(mut self, bytes: usize) -> Self {
        self.longest_output = bytes;
        self
    }

    /// Whether standard input stays open for [`send_stdin`](crate::Client::send_stdin). By default
    /// the command has no standard input.
    #[must_use]
    pub fn stdin(mut self, open: bool) -> Self {
        self.stdin = open;
        self
    }

    /// The name by which the process can be selected in its sandbox. Default: the id of the call.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// The values that must not be shown.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &String> {
        self.envs.values().chain([&self.text])
    }
}

/// Environment variables and commands may hold secrets, so neither is shown.
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

/// The result of a command.
///
/// `Debug` shows the length of the output, not its content.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// The exit code: 0 for success, negative if a signal ended the command.
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
    /// Whether the exit code is 0.
    pub fn is_success(&self) -> bool {
        self.exit_code == 0
    }

    /// Standard output as text; invalid UTF-8 is replaced.
    pub fn stdout_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Standard error as text; invalid UTF-8 is replaced.
    pub fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }
}
