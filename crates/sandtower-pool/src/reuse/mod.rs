//! Sandboxes that one session uses more than once.

use std::sync::Arc;

use sandtower_core::BoxError;
use sandtower_e2b::Command;

use crate::hooks::Hooked;

/// The session that a request belongs to: an extension of requests that create sandboxes. With
/// [`Config::reuse`](crate::Config::reuse), a sandbox that its caller kills is cleaned and kept for the next
/// request of the same session and the same tenant, and for no other.
///
/// `Debug` does not show the key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Session(pub(crate) Arc<str>);

impl Session {
    /// The session with this key.
    pub fn new(key: impl Into<Arc<str>>) -> Self {
        Self(key.into())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// Ends processes and empties the home directory: see there.
const CLEAN: &str = include_str!("clean.sh");

/// What it prints if all is well. Anything else is a reason, also silence: files of the user, such as a profile,
/// may end the shell before it.
const IS_CLEAN: &str = "clean";

/// The command that a login shell of the sandbox's user runs. The script has a shell of its own, in the same
/// process, in which nothing of the user's is defined.
fn command() -> String {
    let script = CLEAN.replace('\'', r"'\''");
    format!("exec env -i HOME=\"$HOME\" PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/sh -c '{script}'")
}

#[derive(Debug, thiserror::Error)]
#[error("the sandbox is not clean: {0}")]
struct NotClean(String);

/// Whether it is clean by what the script has printed.
fn is_clean(printed: &str) -> Result<(), NotClean> {
    match printed.trim() {
        IS_CLEAN => Ok(()),
        "" => Err(NotClean("the script was not run".to_owned())),
        why => Err(NotClean(why.chars().take(200).collect())),
    }
}

/// Kills all processes, empties the home directory, and checks both.
pub(crate) async fn clean(hooked: Hooked) -> Result<(), BoxError> {
    let Hooked { client, sandbox, .. } = hooked;
    let output = client.run(&sandbox, &Command::new(command())).await?;
    Ok(is_clean(&output.stdout_text())?)
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
