//! Every recorded request of the official SDKs is recognised.

use http::Request;
use sandtower_core::Replay;
use sandtower_e2b::{operation, recognise};

const RECORDED: &str = include_str!("fixtures/requests.txt");

#[test]
fn every_recorded_request_is_recognised() {
    let rows: Vec<&str> = RECORDED.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(rows.len() > 50, "the fixture is truncated: {} rows", rows.len());
    for row in rows {
        let columns: Vec<&str> = row.split(' ').collect();
        let [operation, replay, method, target, host, id, port, key] = columns[..] else {
            panic!("not a row: {row}");
        };
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in [
            ("host", host),
            ("e2b-sandbox-id", id),
            ("e2b-sandbox-port", port),
            ("idempotency-key", key),
        ] {
            if value != "-" {
                request = request.header(name, value);
            }
        }
        let (recognised, may_replay) = recognise(&request.body(()).unwrap());
        assert_eq!(recognised.name(), operation, "{row}");
        assert_eq!(may_replay == Replay::Safe, replay == "safe", "{row}");
        assert!(operation::ALL.contains(&recognised));
    }
}
