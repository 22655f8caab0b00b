use std::error::Error;
use std::io;

use sandtower_core::{Effect, Verdict};

use crate::NotReplayable;

/// What an error instead of an answer says: did the request leave?
///
/// | error | verdict |
/// |---|---|
/// | the connection was rejected, no local address was left, the name was not found | transient, effect none: the request never left |
/// | feature `hyper`: hyper-util's client could not connect, whatever the cause: a time-out, TLS | transient, effect none |
/// | feature `hyper`: hyper cancelled it before it was sent; its connection was closed or not ready before | transient, effect none |
/// | feature `hyper`: HTTP/2 `REFUSED_STREAM` from the server, which promises that it did nothing (RFC 9113 section 8.7) | transient, effect none |
/// | feature `tonic`: Tonic's channel could not connect | transient, effect none |
/// | the body [cannot be sent again](NotReplayable) | permanent, effect maybe |
/// | any other: reset, closed before or within the answer, timed out, unreadable, ... | transient, effect maybe: the request may have been served |
///
/// The whole chain of sources is searched, also inside [`io::Error`]s. A TLS handshake of your own
/// connector is told apart only within hyper-util's client or Tonic's: afterwards the same errors
/// mean a broken connection. An HTTP/2 `GOAWAY` counts as "maybe": whether it names the stream does
/// not reach this far.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use sandtower_core::{Effect, Verdict};
/// use sandtower_http::verdict_of_transport;
///
/// let refused = Error::from(ErrorKind::ConnectionRefused);
/// assert_eq!(verdict_of_transport(&rejected), Verdict::transient(Effect::None));
/// let reset = Error::from(ErrorKind::ConnectionReset);
/// assert_eq!(verdict_of_transport(&reset), Verdict::transient(Effect::Maybe));
/// ```
pub fn verdict_of_transport(error: &(dyn Error + 'static)) -> Verdict {
    chain(error).find_map(verdict_of_one).unwrap_or(Verdict::transient(Effect::Maybe))
}

/// `error` and its sources. The source of an `io::Error` is the source of what it wraps: the wrapped
/// error itself would be passed over.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}

/// What an error says without its sources.
fn verdict_of_one(error: &(dyn Error + 'static)) -> Option<Verdict> {
    if error.is::<NotReplayable>() {
        return Some(Verdict::permanent().effect(Effect::Maybe));
    }
    let never_left = match error.downcast_ref::<io::Error>() {
        Some(error) => is_before_connection(error),
        None => is_unsent_by_a_client(error),
    };
    never_left.then_some(Verdict::transient(Effect::None))
}

/// What the connectors of hyper-util and reqwest say in place of a type.
const DNS_ERROR: &str = "dns error";
/// How the standard library begins the error of a look-up; its kind is not stable.
const LOOKUP_FAILED: &str = "failed to lookup address information";

fn is_unsent_by_a_client(error: &(dyn Error + 'static)) -> bool {
    #[cfg(feature = "hyper")]
    if is_unsent_by_hyper(error) {
        return true;
    }
    #[cfg(feature = "tonic")]
    if error.is::<tonic::ConnectError>() {
        return true;
    }
    error.to_string() == DNS_ERROR
}

#[cfg(feature = "hyper")]
fn is_unsent_by_hyper(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // Both are said only of a message that was handed back: "operation was canceled" before its
        // first byte was written, "channel closed" to who waits for a connection to be ready.
        return error.is_canceled() || error.is_closed();
    }
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        return error.is_connect();
    }
    error.downcast_ref::<h2::Error>().is_some_and(|error| {
        error.is_reset() && error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
    })
}

fn is_before_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable,
    };
    match error.kind() {
        // An established connection never reports these two.
        ConnectionRefused | AddrNotAvailable => true,
        // A long-lived connection does report these when the route is lost, after the request was
        // sent: they count as "maybe".
        HostUnreachable | NetworkUnreachable | NetworkDown => false,
        _ => error.to_string().starts_with(LOOKUP_FAILED),
    }
}

#[cfg(test)]
mod tests {
    use sandtower_core::{BoxError, ClassifiedError};

    use super::*;

    fn effect(error: impl Into<BoxError>) -> Effect {
        let verdict = verdict_of_transport(&*error.into());
        assert!(verdict.is_failure());
        verdict.effect
    }

    #[test]
    fn a_rejected_connection_has_no_effect_however_deep_it_lies() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(effect(refused()), Effect::None);
        assert_eq!(effect(io::Error::other(refused())), Effect::None);
        assert_eq!(effect(ClassifiedError::new(Verdict::unknown(), refused())), Effect::None);
        assert_eq!(
            effect(ClassifiedError::new(Verdict::unknown(), io::Error::other(refused()))),
            Effect::None
        );
    }

    #[test]
    fn a_name_that_is_not_found_has_no_effect() {
        let lookup = "failed to lookup address information: Name or service not known";
        assert_eq!(effect(io::Error::other(lookup)), Effect::None);
        assert_eq!(effect("dns error"), Effect::None);
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
        let std::task::Poll::Ready(Some(Err(error))) = read(second) else { panic!("was sent") };
        let hidden = io::Error::other(error);
        assert_eq!(verdict_of_transport(&hidden), Verdict::permanent().effect(Effect::Maybe));
    }

    #[test]
    fn whatever_can_happen_after_the_send_may_have_had_an_effect() {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, NetworkUnreachable,
            TimedOut, UnexpectedEof,
        };
        for kind in [
            BrokenPipe,
            ConnectionAborted,
            ConnectionReset,
            HostUnreachable,
            NetworkUnreachable,
            TimedOut,
            UnexpectedEof,
        ] {
            assert_eq!(effect(io::Error::from(kind)), Effect::Maybe, "{kind}");
        }
        assert_eq!(effect("connection closed before message completed"), Effect::Maybe);
        assert_eq!(effect("the upstream said: connection refused"), Effect::Maybe);
    }
}
