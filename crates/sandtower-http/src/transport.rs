use std::error::Error;
use std::io;

use sandtower_core::{CallerError, ClassifiedError, Effect, Verdict, chain};

use crate::NotReplayable;

/// The verdict on an error instead of a response: was the request sent?
///
/// That of the [`TransportFault`] in its chain, if any; any other error (a reset, a connection that closed
/// within the response, a timeout) is transient with effect maybe: the request may have been served.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use sandtower_core::{Effect, Verdict};
/// use sandtower_http::verdict_of_transport;
///
/// let reset = Error::from(ErrorKind::ConnectionReset);
/// assert_eq!(verdict_of_transport(&reset), Verdict::transient(Effect::Maybe));
/// ```
pub fn verdict_of_transport(error: &(dyn Error + 'static)) -> Verdict {
    TransportFault::of(error).map_or(Verdict::transient(Effect::Maybe), TransportFault::verdict)
}

/// A fault found in the error chain of an HTTP client. Its text is for error messages.
///
/// | fault | found by | verdict |
/// |---|---|---|
/// | [`NotSent`](Self::NotSent) | feature `hyper`: hyper-util's client could not connect (refused, no such name, timeout, TLS); hyper returned the request before its first byte; HTTP/2 `REFUSED_STREAM`. Feature `tonic`: its channel could not connect | transient, effect none |
/// | [`UntrustedCertificate`](Self::UntrustedCertificate) | the texts of rustls and OpenSSL | permanent, about the caller |
/// | [`Exhausted`](Self::Exhausted) | `EMFILE`, `ENFILE`, `ENOMEM`, `EADDRNOTAVAIL` | transient, about the caller; effect none while connecting, else maybe |
/// | [`RequestBody`](Self::RequestBody) | a [`CallerError`]; feature `hyper`: hyper's error of a request body | cancelled, about the caller |
/// | [`NotReplayable`](Self::NotReplayable) | the error of that name | permanent, effect maybe |
///
/// Only an error directly from the client proves that nothing was sent: inside an error of an unknown type
/// it may be about another request, such as the one after a redirect (reqwest follows redirects).
/// `tower_http`'s `FollowRedirect` passes errors on unchanged and cannot be detected: see
/// [`HttpClassify::follows_redirects`](crate::HttpClassify::follows_redirects). A custom connector reports
/// its faults with a [`ClassifiedError`]. Causes of the caller's own errors are not inspected. An HTTP/2
/// `GOAWAY` proves nothing: whether it names the stream is not visible here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportFault {
    /// The request was not sent.
    NotSent,
    /// The server's certificate is not trusted.
    UntrustedCertificate,
    /// This machine or process ran out of a resource.
    Exhausted {
        /// The resource.
        resource: LocalResource,
        /// Whether some of the request may have been sent.
        effect: Effect,
    },
    /// The caller's own request body failed.
    RequestBody,
    /// The request body cannot be sent again.
    NotReplayable,
}

/// A resource that a machine or process can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LocalResource {
    /// File descriptors of the process: `EMFILE`.
    FileDescriptors,
    /// File descriptors of the machine: `ENFILE`.
    SystemFileDescriptors,
    /// Memory: `ENOMEM`.
    Memory,
    /// Local ports: `EADDRNOTAVAIL`.
    LocalAddresses,
}

impl TransportFault {
    /// The fault in the chain of `error`, if any.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let (mut is_direct, mut effect) = (true, Effect::Maybe);
        for error in chain(error) {
            if error.is::<CallerError>() || is_request_body(error) {
                return Some(Self::RequestBody);
            }
            if error.is::<NotReplayable>() {
                return Some(Self::NotReplayable);
            }
            if is_untrusted_certificate(error) {
                return Some(Self::UntrustedCertificate);
            }
            if let Some(resource) = LocalResource::of(error) {
                return Some(Self::Exhausted { resource, effect });
            }
            if is_direct && is_not_sent(error) {
                effect = Effect::None;
            }
            is_direct &= passes_on(error);
        }
        (effect == Effect::None).then_some(Self::NotSent)
    }

    /// The verdict on the attempt.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::NotSent => Verdict::transient(Effect::None),
            Self::UntrustedCertificate => Verdict::permanent().about_caller(),
            Self::Exhausted { effect, .. } => Verdict::transient(effect).about_caller(),
            Self::RequestBody => Verdict::cancelled().about_caller(),
            Self::NotReplayable => Verdict::permanent().effect(Effect::Maybe).about_caller(),
        }
    }
}

impl std::fmt::Display for TransportFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotSent => "the request was not sent: no connection",
            Self::UntrustedCertificate => "the server's certificate is not trusted",
            Self::Exhausted { resource, .. } => match resource {
                LocalResource::FileDescriptors => {
                    "this process is out of file descriptors; raise its limit (`ulimit -n`)"
                }
                LocalResource::SystemFileDescriptors => "this machine is out of file descriptors",
                LocalResource::Memory => "this machine is out of memory",
                LocalResource::LocalAddresses => "this machine is out of local ports",
            },
            Self::RequestBody => "the request body failed",
            Self::NotReplayable => "the request body cannot be sent again",
        })
    }
}

impl LocalResource {
    fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        // The numbers of Linux, macOS and the BSDs: std has no stable kinds for them.
        const ENOMEM: i32 = 12;
        const ENFILE: i32 = 23;
        const EMFILE: i32 = 24;
        let error = error.downcast_ref::<io::Error>()?;
        match (error.raw_os_error(), error.kind()) {
            (Some(EMFILE), _) if cfg!(unix) => Some(Self::FileDescriptors),
            (Some(ENFILE), _) if cfg!(unix) => Some(Self::SystemFileDescriptors),
            (Some(ENOMEM), _) if cfg!(unix) => Some(Self::Memory),
            (_, io::ErrorKind::OutOfMemory) => Some(Self::Memory),
            (_, io::ErrorKind::AddrNotAvailable) => Some(Self::LocalAddresses),
            _ => None,
        }
    }
}

/// By text: there are several libraries, each with several versions in use.
fn is_untrusted_certificate(error: &(dyn Error + 'static)) -> bool {
    // An `io::Error` around another error reads like it, and is followed by it.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.get_ref().is_some()) {
        return false;
    }
    let text = error.to_string();
    text.starts_with("invalid peer certificate") || text.contains("certificate verify failed")
}

/// Whether an error of this type is about the same request as its source.
fn passes_on(error: &(dyn Error + 'static)) -> bool {
    #[cfg(feature = "hyper")]
    if error.is::<hyper::Error>() || error.is::<hyper_util::client::legacy::Error>() {
        return true;
    }
    #[cfg(feature = "tonic")]
    // `tonic::transport::Error`, which cannot be named without the whole of Tonic's transport.
    if error.to_string() == "transport error" {
        return true;
    }
    error.is::<ClassifiedError>() || error.is::<io::Error>()
}

fn is_not_sent(error: &(dyn Error + 'static)) -> bool {
    #[cfg(feature = "hyper")]
    if is_not_sent_by_hyper(error) {
        return true;
    }
    #[cfg(feature = "tonic")]
    if error.is::<tonic::ConnectError>() {
        return true;
    }
    let _ = error;
    false
}

#[cfg(feature = "hyper")]
fn is_not_sent_by_hyper(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // Both occur only for a message that was returned: "operation was canceled" before its first byte
        // was written, "channel closed" to a caller that waits for a connection.
        return error.is_canceled() || error.is_closed();
    }
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        return error.is_connect();
    }
    error.downcast_ref::<h2::Error>().is_some_and(|error| {
        error.is_reset() && error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
    })
}

#[cfg(feature = "hyper")]
fn is_request_body(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(|error| {
        error.is_user() && error.to_string().starts_with("error from user's Body stream")
    })
}

#[cfg(not(feature = "hyper"))]
fn is_request_body(_error: &(dyn Error + 'static)) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use sandtower_core::BoxError;

    use super::*;

    fn verdict(error: impl Into<BoxError>) -> Verdict {
        verdict_of_transport(&*error.into())
    }

    const MAYBE: Verdict = Verdict::transient(Effect::Maybe);

    #[derive(Debug)]
    struct Unknown(BoxError);

    impl std::fmt::Display for Unknown {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an error of another library")
        }
    }

    impl Error for Unknown {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn an_error_of_an_unknown_connector_may_have_had_an_effect() {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
            NetworkUnreachable, TimedOut, UnexpectedEof,
        };
        for kind in [
            BrokenPipe,
            ConnectionAborted,
            ConnectionRefused,
            ConnectionReset,
            HostUnreachable,
            NetworkUnreachable,
            TimedOut,
            UnexpectedEof,
        ] {
            let error = || io::Error::from(kind);
            assert_eq!(verdict(error()), MAYBE, "{kind}");
            assert_eq!(verdict(io::Error::other(error())), MAYBE, "{kind}");
            assert_eq!(verdict(Unknown(error().into())), MAYBE, "{kind}");
        }
        for text in [
            "connection closed before message completed",
            "the upstream said: connection refused",
            "dns error",
        ] {
            assert_eq!(verdict(text), MAYBE, "{text}");
        }
    }

    #[test]
    fn causes_of_the_callers_own_errors_are_not_inspected() {
        let cancelled = Verdict::cancelled().about_caller();
        let inner: [fn() -> BoxError; 4] = [
            || io::Error::from(io::ErrorKind::ConnectionRefused).into(),
            || io::Error::from_raw_os_error(24).into(),
            || "invalid peer certificate: UnknownIssuer".into(),
            || ClassifiedError::new(Verdict::transient(Effect::None), "unreachable").into(),
        ];
        for inner in inner {
            assert_eq!(verdict(CallerError::new(inner())), cancelled);
            assert_eq!(verdict(io::Error::other(CallerError::new(inner()))), cancelled);
            assert_eq!(verdict(Unknown(CallerError::new(inner()).into())), cancelled);
        }
    }

    #[test]
    fn an_untrusted_certificate_is_permanent_and_named() {
        let texts = [
            "invalid peer certificate: UnknownIssuer",
            "ssl: certificate verify failed (self-signed)",
        ];
        for text in texts {
            let tls = || io::Error::new(io::ErrorKind::InvalidData, text);
            let errors: [BoxError; 3] =
                [tls().into(), io::Error::other(tls()).into(), Unknown(tls().into()).into()];
            for error in errors {
                let fault = TransportFault::of(&*error).unwrap();
                assert_eq!(fault.verdict(), Verdict::permanent().about_caller(), "{error:?}");
                assert_eq!(fault.to_string(), "the server's certificate is not trusted");
            }
        }
        assert_eq!(verdict("the upstream said: invalid peer certificate"), MAYBE);
    }

    #[cfg(unix)]
    #[test]
    fn exhaustion_of_this_machine_is_named_and_is_no_failure_of_the_service() {
        for (number, says) in [
            (24, "file descriptors; raise"),
            (23, "machine is out of file descriptors"),
            (12, "memory"),
            (99, "local ports"),
        ] {
            let os = || io::Error::from_raw_os_error(number);
            if number == 99 && os().kind() != io::ErrorKind::AddrNotAvailable {
                continue; // This system uses another number.
            }
            for error in [os().into(), io::Error::other(os()).into(), Unknown(os().into()).into()] {
                let error: BoxError = error;
                let fault = TransportFault::of(&*error).unwrap();
                assert!(!fault.verdict().is_failure(), "{error:?}");
                assert_eq!(fault.verdict().effect, Effect::Maybe, "it may have connected");
                assert!(fault.to_string().contains(says), "{fault}");
            }
        }
    }

    #[test]
    fn a_body_that_cannot_be_sent_again_ends_the_call() {
        let shared = crate::ReplayBody::capped(http_body_util::Full::from("too long"), 1);
        let (first, second) = (shared.clone(), shared);
        let read = |mut body: crate::ReplayBody<http_body_util::Full<bytes::Bytes>>| {
            let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
            http_body::Body::poll_frame(std::pin::Pin::new(&mut body), cx)
        };
        assert!(matches!(read(first), std::task::Poll::Ready(Some(Ok(_)))));
        let std::task::Poll::Ready(Some(Err(error))) = read(second) else { panic!("it was sent") };
        let hidden = io::Error::other(error);
        assert_eq!(verdict_of_transport(&hidden).outcome, sandtower_core::Outcome::Permanent);
        assert_eq!(verdict_of_transport(&hidden).effect, Effect::Maybe);
    }
}
