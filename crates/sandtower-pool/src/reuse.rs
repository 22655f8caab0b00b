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

/// Empties the home directory, and prints the first thing that is left.
pub(crate) const EMPTY: &str = "cd / && find \"$HOME\" -mindepth 1 -delete 2>/dev/null; find \"$HOME\" -mindepth 1 | head -n 1";
/// Kills every process that the user may kill, but the shell itself.
const KILL: &str = "for p in /proc/[0-9]*; do p=${p#/proc/}; \
                    [ \"$p\" = $$ ] || [ \"$p\" = $PPID ] || kill -KILL \"$p\" 2>/dev/null; done; true";
/// Prints the first process that the user may kill, but the shell itself.
const PROCESSES: &str = "for p in /proc/[0-9]*; do p=${p#/proc/}; \
                         [ \"$p\" = $$ ] || [ \"$p\" = $PPID ] || ! kill -0 \"$p\" 2>/dev/null || \
                         { echo \"process $p\"; break; }; done";

#[derive(Debug, thiserror::Error)]
#[error("the sandbox is not clean: {0} is left")]
struct NotClean(String);

/// Kills all processes, empties the home directory, and checks both.
pub(crate) async fn clean(hooked: Hooked) -> Result<(), BoxError> {
    let Hooked { client, sandbox, .. } = hooked;
    client.run(&sandbox, &Command::new(KILL)).await?;
    for check in [EMPTY, PROCESSES] {
        let left = client.run(&sandbox, &Command::new(check)).await?;
        let left = left.stdout_text().trim().to_owned();
        if !left.is_empty() {
            return Err(NotClean(left).into());
        }
    }
    Ok(())
}
