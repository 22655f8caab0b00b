use std::error::Error;
use std::io;

use sandtower_core::{Effect, Verdict};

/// What an error instead of an answer says.
///
/// | error | verdict |
/// |---|---|
/// | the connection was refused, no local address was left, the name was not found | transient, effect none: the request never left |
/// | any other: reset, closed, timed out, ... | transient, effect maybe: the request may have been served |
///
/// The whole chain of sources is searched, also inside [`io::Error`]s. Errors of particular clients
/// and of TLS handshakes are not told apart yet: they count as "maybe".
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use sandtower_core::{Effect, Verdict};
/// use sandtower_http::verdict_of_transport;
///
/// let refused = Error::from(ErrorKind::ConnectionRefused);
/// assert_eq!(verdict_of_transport(&refused), Verdict::transient(Effect::None));
/// let reset = Error::from(ErrorKind::ConnectionReset);
/// assert_eq!(verdict_of_transport(&reset), Verdict::transient(Effect::Maybe));
/// ```
pub fn verdict_of_transport(error: &(dyn Error + 'static)) -> Verdict {
    Verdict::transient(if never_left(error) { Effect::None } else { Effect::Maybe })
}

/// What the connectors of hyper-util and reqwest say in place of a type.
const DNS_ERROR: &str = "dns error";
/// How the standard library begins the error of a look-up; its kind is not stable.
const LOOKUP_FAILED: &str = "failed to lookup address information";

fn never_left(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io_error = error.downcast_ref::<io::Error>();
        let before_the_connection = match io_error {
            Some(error) => is_before_connection(error),
            None => error.to_string() == DNS_ERROR,
        };
        if before_the_connection {
            return true;
        }
        // The source of an `io::Error` is the source of what it wraps: the wrapped error itself
        // would be passed over.
        next = match io_error.and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
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
    use sandtower_core::{BoxError, Judged};

    use super::*;

    fn effect(error: impl Into<BoxError>) -> Effect {
        let verdict = verdict_of_transport(&*error.into());
        assert!(verdict.is_failure());
        verdict.effect
    }

    #[test]
    fn a_refused_connection_has_no_effect_however_deep_it_lies() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(effect(refused()), Effect::None);
        assert_eq!(effect(io::Error::other(refused())), Effect::None);
        assert_eq!(effect(Judged::new(Verdict::unknown(), refused())), Effect::None);
        assert_eq!(
            effect(Judged::new(Verdict::unknown(), io::Error::other(refused()))),
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
