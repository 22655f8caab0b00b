use http::{Method, Request};
use sandtower_core::{Attempt, Resend, SetDeadline, Tick};

use crate::ResendBody;

/// When the caller of a request stops caring: an extension of the request.
///
/// [`HttpClassify`](crate::HttpClassify) reads it, so that layers below the one that set it start nothing
/// that cannot finish in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deadline(pub Tick);

/// Resends HTTP requests, and sets the deadline and the attempt.
///
/// A copy has the method, target, version, header fields, extensions and body of the original, if the
/// [body](ResendBody) can be sent again: `http_body_util::Full` always can, a
/// [`RequestBody`](crate::RequestBody) if it is whole. The number of the attempt is written as the
/// extension [`Attempt`], the deadline as the extension [`Deadline`].
///
/// ```
/// use http::Request;
/// use sandtower_core::{Attempt, Outcome, Resend, Tick};
/// use sandtower_http::Http;
///
/// let request = Request::get("/health").body("")?;
/// let mut again = Http.copy(&request).expect("its body can be cloned");
/// Http.stamp(&mut again, &Attempt::first(Tick::ZERO).next(Outcome::Transient));
/// assert_eq!(again.extensions().get::<Attempt>().map(|attempt| attempt.number), Some(2));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http;

impl<B: ResendBody> Resend<Request<B>> for Http {
    fn copy(&self, request: &Request<B>) -> Option<Request<B>> {
        let mut copy = Request::new(request.body().resend()?);
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.version_mut() = request.version();
        *copy.headers_mut() = request.headers().clone();
        *copy.extensions_mut() = request.extensions().clone();
        Some(copy)
    }

    fn stamp(&self, request: &mut Request<B>, attempt: &Attempt) {
        request.extensions_mut().insert(*attempt);
    }
}

impl<B> SetDeadline<Request<B>> for Http {
    /// The arrival is recorded as the stamp of the call's first attempt, unless there is a stamp, which
    /// has it already. An earlier deadline is kept, since a layer can only shorten what the caller
    /// allowed; [`Tick::MAX`] is none.
    fn set_deadline(&self, request: &mut Request<B>, arrived: Tick, deadline: Tick) {
        let extensions = request.extensions_mut();
        if extensions.get::<Attempt>().is_none() {
            extensions.insert(Attempt::first(arrived));
        }
        let set = extensions.get::<Deadline>().map_or(Tick::MAX, |deadline| deadline.0);
        if deadline < set {
            extensions.insert(Deadline(deadline));
        }
    }
}

/// Whether the method is idempotent: RFC 9110 section 9.2.2. Methods that it does not define are not.
pub fn is_idempotent(method: &Method) -> bool {
    const IDEMPOTENT: [Method; 6] =
        [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE];
    IDEMPOTENT.contains(method)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, Version, header::CONTENT_TYPE};
    use sandtower_core::Outcome;

    use super::*;

    #[test]
    fn a_copy_has_all_parts_of_the_request() {
        let original = Request::builder()
            .method(Method::POST)
            .uri("https://api.test/v2/sandboxes?limit=1")
            .version(Version::HTTP_2)
            .header(CONTENT_TYPE, "application/json")
            .extension(Deadline(Tick::MAX))
            .body("{}")
            .unwrap();
        let copy = Http.copy(&original).unwrap();
        assert_eq!(copy.method(), original.method());
        assert_eq!(copy.uri(), original.uri());
        assert_eq!(copy.version(), original.version());
        assert_eq!(copy.headers()[CONTENT_TYPE], HeaderValue::from_static("application/json"));
        assert_eq!(copy.extensions().get::<Deadline>(), Some(&Deadline(Tick::MAX)));
        assert_eq!(copy.body(), original.body());
    }

    #[test]
    fn a_later_attempt_replaces_the_stamp_of_the_one_before() {
        let mut request = Request::new(());
        let second = Attempt::first(Tick::ZERO).next(Outcome::Transient);
        Http.stamp(&mut request, &second);
        Http.stamp(&mut request, &second.next(Outcome::Unknown));
        let stamped = request.extensions().get::<Attempt>().unwrap();
        assert_eq!((stamped.number, stamped.last), (3, Some(Outcome::Unknown)));
    }

    #[test]
    fn a_deadline_is_never_moved_to_a_later_instant() {
        let soon = Tick::ZERO + Duration::from_secs(1);
        let later = Tick::ZERO + Duration::from_secs(9);
        let mut request = Request::new(());
        for deadline in [later, soon, later, Tick::MAX] {
            Http.set_deadline(&mut request, Tick::ZERO, deadline);
        }
        assert_eq!(request.extensions().get::<Deadline>(), Some(&Deadline(soon)));
    }

    #[test]
    fn no_deadline_leaves_none_behind() {
        let mut request = Request::new(());
        Http.set_deadline(&mut request, Tick::ZERO, Tick::MAX);
        assert_eq!(request.extensions().get::<Deadline>(), None);
    }

    #[test]
    fn the_arrival_of_the_call_outlives_its_later_stamps() {
        let arrived = Tick::from_nanos(5);
        let stamp = |request: &Request<()>| *request.extensions().get::<Attempt>().unwrap();
        let mut request = Request::new(());
        Http.set_deadline(&mut request, arrived, Tick::MAX);
        assert_eq!(stamp(&request), Attempt::first(arrived));
        Http.stamp(&mut request, &Attempt::first(arrived).next(Outcome::Transient));
        Http.set_deadline(&mut request, Tick::from_nanos(8), Tick::MAX);
        assert_eq!((stamp(&request).number, stamp(&request).arrived), (2, arrived));
    }

    #[test]
    fn only_the_methods_that_http_calls_idempotent_are() {
        assert!(is_idempotent(&Method::PUT));
        for method in [Method::POST, Method::PATCH, Method::CONNECT] {
            assert!(!is_idempotent(&method), "{method}");
        }
        assert!(!is_idempotent(&Method::from_bytes(b"BREW").unwrap()));
    }
}
