//! Instructions of a call, counted by valgrind: the same in every run, whatever else the machine does.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::case::Runner;

/// Makes the calls that are counted. Valgrind looks for this function by its name.
#[inline(never)]
pub fn counted(runner: &mut Runner, calls: u64) {
    runner(calls);
}

/// Runs this program again under valgrind with `arguments`, and counts the instructions of
/// [`counted`]. The profile is left at `profile`, for `callgrind_annotate`.
///
/// # Errors
///
/// What went wrong, for the user: valgrind is missing, the program failed, no profile.
pub fn instructions(arguments: &[&str], profile: &Path) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*profile::counted*"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`valgrind` could not be started: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = fs::read_to_string(profile).map_err(|error| format!("the profile: {error}"))?;
    total(&text).ok_or_else(|| format!("{} has no total", profile.display()))
}

/// The sum of all instructions in a profile of callgrind.
fn total(profile: &str) -> Option<u64> {
    let line = |name| profile.lines().find_map(|line| line.strip_prefix(name));
    line("totals:").or_else(|| line("summary:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_stands_at_the_end_or_at_the_top() {
        assert_eq!(total("events: Ir\nsummary: 12\nfn=(1) main\n3 4\n"), Some(12));
        assert_eq!(total("events: Ir\nfn=(1) main\n3 4\n\ntotals: 34\n"), Some(34));
        assert_eq!(total("fn=(1) main\n3 4\n"), None);
    }
}
