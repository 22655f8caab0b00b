//! The load test as its users run it.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

/// Cargo puts examples beside the folder of the tests. It makes them before it runs these, but not
/// with `--all-targets`, which makes tests of them instead: `cargo xtask test` builds them first.
fn program() -> PathBuf {
    let tests = env::current_exe().unwrap();
    tests.parent().unwrap().with_file_name("examples").join("load_test")
}

fn run(folder: &Path, arguments: &[&str]) -> (Output, String, String) {
    let mut command = Command::new(program());
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // It is there only if the test ran before.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn alone_it_shows_the_policies_side_by_side_and_writes_its_report() {
    let folder = folder("alone");
    let (output, said, stderr) = run(&folder, &[]);
    assert!(output.status.success(), "{stderr}");
    let row = |label: &str| {
        let row = said.lines().find(|line| line.trim_start().starts_with(label));
        row.unwrap_or_else(|| panic!("no {label} in\n{said}")).to_owned()
    };
    assert!(row("queries succeeded").ends_with("12 of 12"), "{said}");
    for (user, query) in [(1, 1), (6, 2)] {
        assert!(row(&format!("user {user}, query {query}")).ends_with(" s"), "{said}");
    }
    assert!(
        stderr.contains("Sandboxes: 0/10 | Executions: 24 | Failures: 0 | Retries: "),
        "{stderr}"
    );
    let report = fs::read_to_string(folder.join("target/load-test/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let names: Vec<_> =
        report["policies"].as_array().unwrap().iter().map(|policy| &policy["policy"]).collect();
    assert_eq!(names, ["unprotected", "classic", "sandtower"]);
    assert!(folder.join("target/load-test/report.html").exists());
}

#[test]
fn a_missed_objective_exits_with_1_and_the_reason() {
    let folder = folder("slo");
    let slo = "success>=99%,p99<60s,leaked<=0";
    let (output, said, _) = run(&folder, &["--slo", slo, "--report", "here"]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(folder.join("here/report.json").exists());
    let (output, said, _) = run(&folder, &["--slo", slo, "--policy", "unprotected"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("unprotected, stress, seed 1: success is "), "{said}");
}

#[test]
fn a_mistake_exits_with_2_and_what_would_be_valid() {
    let folder = folder("mistake");
    let (output, _, stderr) = run(&folder, &["--policy", "best"]);
    assert_eq!(output.status.code(), Some(2));
    let says = "there is no policy \"best\"; there are unprotected, classic, sandtower";
    assert!(stderr.contains(says), "{stderr}");
}

#[test]
fn invalid_options_are_found_before_the_run() {
    let folder = folder("early");
    fs::write(folder.join("file"), "").unwrap();
    let (output, stdout, stderr) = run(&folder, &["--report", "file/report"]);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.starts_with("load_test: --report: file/report/report.json: "), "{stderr}");

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = format!("http://{closed}");
    let mut command = Command::new(program());
    command.args(["--target", &target]).env("E2B_API_KEY", "e2b_0123").current_dir(&folder);
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
    assert!(stderr.starts_with("load_test: --target cannot be used: "), "{stderr}");
}

#[test]
fn thousands_of_users_are_run_and_not_reduced() {
    let folder = folder("users");
    let load = ["--users", "1500", "--queries", "1", "--policy", "sandtower"];
    let (output, stdout, stderr) = run(&folder, &load);
    assert!(output.status.success(), "{stderr}");
    assert!(stdout.contains("1500 of 1500"), "{stdout}");
}
