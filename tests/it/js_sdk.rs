//! The official JavaScript SDK, unmodified, works against the simulator.

use std::{env, ffi::OsStr};

use crate::python_sdk::{leave_out, passes};

/// The folder in which the packages of `js_sdk/package-lock.json` are installed. The scripts read it
/// too.
const NODE_MODULES: &str = "SANDTOWER_NODE_MODULES";

/// What `js_sdk/tour.mjs` prints.
pub(crate) const TOUR: &str = "life\ncommands\nfiles\nwatching\nsecured\npause\nfilters\nmetadata\nsnapshots\n\
     boots\nnetwork\ntemplates\nrefuses\natOnce\n";

#[test]
fn the_js_sdk_works_as_against_e2b() {
    if !is_set_up() {
        return;
    }
    let ledger = passes(OsStr::new("node"), "js_sdk/tour.mjs", TOUR).ledger();
    assert_eq!((ledger.active, ledger.paused), (0, 0), "{ledger:?}");
}

#[test]
fn the_js_sdk_raises_each_of_its_errors() {
    if is_set_up() {
        passes(OsStr::new("node"), "js_sdk/errors.mjs", "done\n");
    }
}

#[test]
fn the_js_sdk_runs_code_in_contexts() {
    if is_set_up() {
        passes(OsStr::new("node"), "js_sdk/code.mjs", "done\n");
    }
}

/// Whether the packages are installed; without them the tests are left out, but never in CI.
pub(crate) fn is_set_up() -> bool {
    let is_set = env::var_os(NODE_MODULES).is_some_and(|folder| !folder.is_empty());
    if !is_set {
        assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{NODE_MODULES} is not set");
        leave_out("js_sdk", NODE_MODULES);
    }
    is_set
}
