//! The lists in the documents match the code: settings, events, snapshots.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

mod events;
mod settings;
mod snapshot;
mod steps;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the first table after a line that begins with `heading`, without backticks.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let rest = document.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    let table = rest.skip_while(|line| !line.starts_with('|'));
    let rows =
        table.take_while(|line| line.starts_with('|')).skip(2).map(cells).collect::<Vec<_>>();
    assert!(!rows.is_empty(), "there is no table under {heading:?}");
    rows
}

fn cells(row: &str) -> Vec<String> {
    let cells = row.trim().trim_matches('|').split(" | ");
    cells.map(|cell| cell.trim().replace('`', "")).collect()
}
