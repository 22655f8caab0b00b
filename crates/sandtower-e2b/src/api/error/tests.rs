use std::error::Error as _;
use std::io;

use sandtower_core::{ClassifiedError, Reason};

use super::*;
use crate::operation as op;

fn no_response(operation: Operation, source: impl Into<BoxError>) -> Error {
    Error::NoResponse { call: Call::new(operation, None), source: source.into() }
}

fn status_error(verdict: Verdict) -> Error {
    let body = ErrorBody::parse(br#"{"code":503,"message":"no room","error_code":"full"}"#);
    let response = ErrorResponse {
        status: StatusCode::SERVICE_UNAVAILABLE,
        body,
        verdict,
        attempt: 1,
        explanation: None,
    };
    Error::Status { call: Call::new(op::SANDBOX_CREATE, None), response: Box::new(response) }
}

#[test]
fn a_rejection_is_found_with_its_retry_after() {
    let after = Duration::from_secs(4);
    let rejection = Rejection::new("admission", "E2B", Reason::Draining).come_back_in(after);
    let error = no_response(op::SANDBOX_CREATE, rejection);
    assert!(error.is_rejected() && !error.is_timeout());
    assert_eq!(error.hint(), Hint::Again { after: Some(after) });
    assert!(error.source().is_some());
}

#[test]
fn a_creation_that_may_have_succeeded_has_the_hint_look() {
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    assert_eq!(no_response(op::SANDBOX_CREATE, reset()).hint(), Hint::Look);
    assert_eq!(no_response(op::SANDBOX_INFO, reset()).hint(), Hint::Again { after: None });
    let unreachable = ClassifiedError::new(
        Verdict::transient(Effect::None),
        io::Error::from(io::ErrorKind::ConnectionRefused),
    );
    assert_eq!(no_response(op::SANDBOX_CREATE, unreachable).hint(), Hint::Again { after: None });
}

#[test]
fn the_servers_advice_on_retrying_is_followed() {
    let passing = Verdict::transient(Effect::None);
    assert_eq!(status_error(passing).hint(), Hint::Again { after: None });
    assert_eq!(status_error(passing.advice(Advice::Stop)).hint(), Hint::Stop);
    assert_eq!(status_error(Verdict::permanent()).hint(), Hint::Stop);
}

#[test]
fn the_message_names_the_call_and_quotes_the_service() {
    assert_eq!(
        status_error(Verdict::permanent()).to_string(),
        "`sandbox_create` failed with status 503 full: no room",
    );
    let call = Call::new(op::SANDBOX_INFO, "i0abc".parse().ok());
    let error = Error::BrokenResponse { call, source: "cut off".into() };
    assert_eq!(
        error.to_string(),
        "the response to `sandbox_info` of sandbox `i0abc` cannot be read: cut off",
    );
}

/// Every kind of error: its message, its hint, and the body that it quotes.
#[test]
fn each_kind_names_the_call_the_cause_and_the_hint() {
    let id = CallId::new(&sandtower_core::Seed::fixed(1));
    let of = |operation, id| Call { id, ..Call::new(operation, "i0abc".parse().ok()) };
    let (start, read) = (of(op::PROCESS_START, Some(id)), of(op::FILE_READ, None));
    let (body, after) =
        (ErrorBody::parse(br#"{"code":"not_found","message":"no bash"}"#), Duration::from_secs(9));
    let started = format!("`process_start` of sandbox `i0abc` (call {id})");
    let file = "`file_read` of sandbox `i0abc`";
    let reset = || BoxError::from(io::Error::from(io::ErrorKind::ConnectionReset));
    let response = ErrorResponse {
        status: StatusCode::NOT_FOUND,
        body: body.clone(),
        verdict: Verdict::permanent(),
        attempt: 1,
        explanation: None,
    };
    let (again, stop) = (Hint::Again { after: None }, Hint::Stop);
    let kinds = [
        (
            Error::NoResponse { call: start.clone(), source: reset() },
            format!("{started} got no response: connection reset"),
            Hint::Look,
        ),
        (
            Error::NoResponse { call: read.clone(), source: reset() },
            format!("{file} got no response: connection reset"),
            again,
        ),
        (
            Error::Status { call: read.clone(), response: response.into() },
            format!("{file} failed with status 404 not_found: no bash"),
            stop,
        ),
        (
            Error::BrokenResponse { call: start.clone(), source: reset() },
            format!("the response to {started} cannot be read: connection reset"),
            Hint::Look,
        ),
        (
            Error::BrokenResponse { call: read.clone(), source: reset() },
            format!("the response to {file} cannot be read: connection reset"),
            again,
        ),
        (
            Error::DeadlineExceeded { call: start.clone(), after },
            format!("{started} did not end within 9 s"),
            Hint::Look,
        ),
        (
            Error::DeadlineExceeded { call: read.clone(), after },
            format!("{file} did not end within 9 s"),
            again,
        ),
        (
            Error::Process { call: start.clone(), body: body.into() },
            format!("{started} failed: no bash"),
            stop,
        ),
        (
            Error::CommandTimedOut { call: start.clone(), after },
            format!("{started} ran for longer than its timeout of 9 s"),
            stop,
        ),
        (
            Error::CodeTimedOut { call: start.clone(), after },
            format!("{started} ran for longer than its timeout of 9 s"),
            stop,
        ),
        (
            Error::FileTooLong { call: read.clone(), longest: 7 },
            format!("{file} found a file longer than 7 bytes"),
            stop,
        ),
        (
            Error::OutputTooLong { call: start.clone(), longest: 7 },
            format!("{started} printed more than 7 bytes"),
            stop,
        ),
        (
            Error::Request { call: read.clone(), source: reset() },
            format!("{file} could not be put into a request: connection reset"),
            stop,
        ),
    ];
    for (error, says, hint) in kinds {
        assert_eq!((error.to_string(), error.hint()), (says, hint), "{error:?}");
        assert!(error.call() == &start || error.call() == &read);
        let quotes = matches!(error, Error::Status { .. } | Error::Process { .. });
        assert_eq!(error.body().map(|body| body.message.as_str()), quotes.then_some("no bash"));
        let has_source = matches!(
            error,
            Error::NoResponse { .. } | Error::BrokenResponse { .. } | Error::Request { .. }
        );
        assert_eq!(error.source().is_some(), has_source, "{error:?}");
    }
}
