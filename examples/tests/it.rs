//! The examples as their users run them: each ends by itself, with the expected output.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, thread};

/// Far longer than any of them takes on a busy machine.
const LONGEST: Duration = Duration::from_secs(120);

/// The output of a program, if it succeeds in time.
fn said_by(name: &str) -> String {
    // Cargo puts examples beside the folder of the tests, and builds them before it runs these.
    let tests = env::current_exe().unwrap();
    let program = tests.parent().unwrap().with_file_name("examples").join(name);
    let mut command = Command::new(program);
    // Otherwise an account would be used if there is one, and a proxy for loopback.
    let command = command.env_clear().stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pipes = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (send, received) = mpsc::channel();
    thread::spawn(move || send.send(pipes_to_texts(pipes)));
    let Ok((said, complained)) = received.recv_timeout(LONGEST) else {
        end(child);
        panic!("{name} does not end");
    };
    let status = child.wait().unwrap();
    assert!(status.success(), "{name}: {status}\n{said}\n{complained}");
    said
}

fn pipes_to_texts(
    (mut out, mut err): (impl std::io::Read, impl std::io::Read + Send + 'static),
) -> (String, String) {
    let complaints = thread::spawn(move || std::io::read_to_string(&mut err).unwrap());
    let said = std::io::read_to_string(&mut out).unwrap();
    (said, complaints.join().unwrap())
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn assert_says(name: &str, expected: &[&str]) {
    let said = said_by(name);
    let mut rest = said.as_str();
    for part in expected {
        let Some(at) = rest.find(part) else { panic!("{name} does not say {part:?} in\n{said}") };
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn one_layer_alone_is_controlled_by_its_operator() {
    assert_says(
        "single_layer",
        &[
            "failed: connection refused",
            "rejected: The forecast service is not responding. Next attempt in 1 s",
            "the breaker is open, ",
            "sun in Prague",
            "rejected: Calls to the forecast service are stopped by an operator",
            "sun in Prague",
            "closed -> open, ",
            "half_open -> closed",
        ],
    );
}

#[test]
fn the_meaning_of_a_custom_api_reaches_all_layers() {
    assert_says(
        "custom_classify",
        &[
            r#"busy at first: sent 3 times, then "ticket 7"; the breaker counts 1 failed"#,
            r#"sold out: sent 1 times, then "sold out"; the breaker counts 0 failed"#,
            r#"an order, lost track of: sent 2 times, then "ticket 8"; the breaker counts 1 failed"#,
            r#"no order, lost track of: sent 1 times, then "lost track"; the breaker counts 1 failed"#,
        ],
    );
}

#[test]
fn four_layers_by_hand_create_sandboxes_of_a_failing_service() {
    assert_says(
        "hyper_client",
        &[
            "says 1\n",
            "says 8\n",
            " retries, ",
            "circuit breaker: closed",
            "sandboxes left behind: 0",
        ],
    );
}

#[test]
fn a_service_over_the_stack_shows_the_queue_rejects_clearly_and_shuts_down_in_order() {
    assert_says(
        "axum_service",
        &[
            "a waiting user reads: All sandboxes are in use (2 of 2). Waiting for one to end; ",
            r#": 200 OK {"stdout":"hello, user "#,
            r#"user 1: 503 Service Unavailable {"error":"E2B is not responding. Next attempt in "#,
            "[Retry-After: ",
            r#"the snapshot says: "open""#,
            "its metrics say: sandtower_creations_failed_total{source=\"e2b\"} 1\n",
            r#"503 Service Unavailable {"error":"This service is shutting down. Try again later.""#,
            r#": 200 OK {"stdout":"hello, user "#,
            "shut down; sandboxes left behind: 0",
        ],
    );
}

#[test]
fn grpc_has_the_layers_on_both_sides() {
    assert_says(
        "tonic_service",
        &[
            "Unavailable: admission `this server` is full: a call is waiting\n",
            "responded: Serving\nresponded: Serving\n",
            "two transient failures:\nresponded: Serving\ncalls that arrived: 3\n",
            "Unavailable: a transient failure\n",
            "Unavailable: circuit breaker `the health service` is open: the last 5 calls failed; ",
            "[retry in ",
            "calls that arrived: 5; the breaker is open\n",
        ],
    );
}

#[test]
fn the_stack_works_over_reqwest_and_understands_its_errors() {
    assert_says(
        "reqwest_client",
        &[
            "the sandbox says hello\n",
            "sandboxes left behind: 0\n",
            "on a closed port: transient, Again { after: None }\n",
        ],
    );
}

#[test]
fn each_step_from_a_pattern_by_hand_to_the_stack_runs() {
    assert_says(
        "migration",
        &["\n0 | ", "\n1 | ", "\n2 | ", "\n3 | ", "\n4 | ", " | 0 | 0 | ", "\n5 | ", " | 0 | 0 | "],
    );
}
