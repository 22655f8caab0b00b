//! How error messages describe their causes.

use std::fmt::{Display, Formatter, Result, Write as _};
use std::io;

use sandtower_core::{ClassifiedError, Effect, Rejection, chain, find, verdict_of_error};
use sandtower_http::verdict_of_transport;

use super::{Call, Error};

type Source = dyn std::error::Error + 'static;

/// Why there is no response, and whether the request was sent.
pub(super) struct NoResponse<'a>(pub(super) &'a (dyn std::error::Error + Send + Sync + 'static));

impl Display for NoResponse<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if let Some(rejection) = find::<Rejection>(self.0) {
            return write!(f, "was not sent: {rejection}");
        }
        let verdict = verdict_of_error(self.0).unwrap_or_else(|| verdict_of_transport(self.0));
        let sent = match verdict.effect {
            Effect::None => "was not sent",
            Effect::Maybe => "got no response",
        };
        write!(f, "{sent}: {}", Causes(self.0))
    }
}

/// What happens to a sandbox that a creation may have left behind.
pub(super) struct Aftermath<'a>(pub(super) &'a Call, pub(super) &'a Error);

impl Display for Aftermath<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.0.tracked && self.1.verdict().effect == Effect::Maybe {
            f.write_str("; if a sandbox was created, it is removed in the background")?;
        }
        Ok(())
    }
}

/// An error with its sources on one line, each once, followed by a hint where the cause is on this
/// machine.
pub(crate) struct Causes<'a>(pub(crate) &'a Source);

impl Display for Causes<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut shown = String::new();
        for error in chain(self.0).filter(|error| !error.is::<ClassifiedError>()) {
            let text = error.to_string();
            if shown.contains(&text) {
                continue;
            }
            let separator = if shown.is_empty() { "" } else { ": " };
            write!(shown, "{separator}{text}")?;
        }
        f.write_str(if shown.is_empty() { "the attempt failed" } else { &shown })?;
        match chain(self.0).find_map(cure) {
            Some(cure) => write!(f, " ({cure})"),
            None => Ok(()),
        }
    }
}

/// How rustls begins the error about an untrusted certificate.
const BAD_CERTIFICATE: &str = "invalid peer certificate";

/// How to fix a cause that is on this machine and not at the peer.
fn cure(error: &Source) -> Option<&'static str> {
    let Some(io) = error.downcast_ref::<io::Error>() else {
        return error.to_string().starts_with(BAD_CERTIFICATE).then_some(
            "the server's certificate is not trusted here: add its root certificate to the transport",
        );
    };
    // ENFILE and EMFILE, ENOMEM: the same numbers on all Unix systems.
    match io.raw_os_error() {
        Some(23 | 24) => Some("this process has no file descriptor left: raise `ulimit -n`"),
        Some(12) => Some("this machine has no memory left"),
        _ if io.kind() == io::ErrorKind::AddrNotAvailable => {
            Some("this machine has no local port left")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sandtower_core::{BoxError, Reason, Verdict};

    use super::*;
    use crate::{CallId, Hint, operation as op};

    fn no_response(source: impl Into<BoxError>) -> Error {
        Error::NoResponse { call: Call::new(op::SANDBOX_LIST, None), source: source.into() }
    }

    fn wrapped(verdict: Verdict, source: impl Into<BoxError>) -> BoxError {
        ClassifiedError::new(verdict, source).into()
    }

    #[test]
    fn a_rejected_call_names_the_layer_the_reason_and_the_wait() {
        let open = Rejection::new("circuit breaker", "E2B", Reason::Open { failed: 7, of: 8 })
            .come_back_in(Duration::from_secs(5));
        for source in [BoxError::from(open.clone()), wrapped(Verdict::rejected(), open)] {
            let error = no_response(source);
            assert_eq!(
                error.to_string(),
                "`sandbox_list` was not sent: circuit breaker `E2B` is open: 7 of the last 8 calls failed; retry in 5 s",
            );
            assert_eq!(error.hint(), Hint::Again { after: Some(Duration::from_secs(5)) });
        }
    }

    #[test]
    fn an_error_names_its_cause_and_whether_it_was_sent() {
        let unreachable = wrapped(
            Verdict::transient(Effect::None),
            io::Error::from(io::ErrorKind::ConnectionRefused),
        );
        let lost = io::Error::from(io::ErrorKind::ConnectionReset);
        let transient = Verdict::transient(Effect::Maybe);
        for (source, expected) in [
            (unreachable, "was not sent: connection refused"),
            (wrapped(transient, lost), "got no response: connection reset"),
            (
                wrapped(transient, "no response within 3 s"),
                "got no response: no response within 3 s",
            ),
            (wrapped(transient, wrapped(transient, "both")), "got no response: both"),
        ] {
            assert_eq!(no_response(source).to_string(), format!("`sandbox_list` {expected}"));
        }
    }

    #[test]
    fn a_local_cause_is_not_blamed_on_the_peer() {
        let descriptors =
            wrapped(Verdict::transient(Effect::None), io::Error::from_raw_os_error(24));
        let shown = no_response(descriptors).to_string();
        assert!(shown.ends_with("no file descriptor left: raise `ulimit -n`)"), "{shown}");
        for (code, word) in [(23, "ulimit"), (12, "memory")] {
            let shown = no_response(io::Error::from_raw_os_error(code)).to_string();
            assert!(shown.contains(word), "{shown}");
        }
        let unknown = io::Error::other("invalid peer certificate: UnknownIssuer");
        let error = no_response(wrapped(Verdict::permanent(), unknown));
        assert!(error.to_string().contains("add its root certificate"), "{error}");
        assert_eq!(error.hint(), Hint::Stop, "it would fail again");
    }

    #[test]
    fn a_lost_creation_that_is_tracked_needs_no_action_by_the_caller() {
        let lost = |source: BoxError| Error::NoResponse {
            call: Call::creation(CallId::new(&sandtower_core::Seed::fixed(1))),
            source,
        };
        let reset = || lost(io::Error::from(io::ErrorKind::ConnectionReset).into());
        assert_eq!(reset().hint(), Hint::Look);
        let tracked = reset().tracked();
        assert_eq!(tracked.hint(), Hint::Again { after: None });
        assert!(tracked.to_string().ends_with("it is removed in the background"), "{tracked}");
        let unreachable = io::Error::from(io::ErrorKind::ConnectionRefused);
        let not_sent = lost(wrapped(Verdict::transient(Effect::None), unreachable)).tracked();
        assert!(!not_sent.to_string().contains("background"), "nothing was sent: {not_sent}");
    }
}
