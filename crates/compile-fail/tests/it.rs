//! The messages of the compiler for the commonest mistakes: `docs/compile-errors.md` has the fixes.
//!
//! After a change, or with a new compiler, write them anew with `TRYBUILD=overwrite cargo test -p
//! compile-fail`, and read what changed.

use std::process::Command;

/// Each compiler has words of its own.
const COMPILER: &str = concat!("rustc ", env!("CARGO_PKG_RUST_VERSION"));

#[test]
fn the_commonest_mistakes_have_an_error_that_says_what_fits() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().map(|output| output.stdout);
    let version = version.map(|text| String::from_utf8_lossy(&text).into_owned());
    if !version.as_ref().is_ok_and(|version| version.starts_with(COMPILER)) {
        eprintln!("left out: the messages are those of {COMPILER}, and this is {version:?}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
