use http::Request;
use sandtower_core::{
    Attempt, Classify, Outcome, RequestInfo, Resource, SetDeadline, Tenant, Tick,
};
use sandtower_http::{Http, HttpClassifier, request_info};

use crate::api::route::{recognise, sandbox_of};
use crate::operation as op;

/// Classifies requests to E2B: which operation, of which sandbox, whether it may be replayed, and by
/// when.
///
/// The control plane is one [scope](op::scope), what runs in sandboxes another; of the latter, each
/// request names its sandbox as [`Resource`]. The tenant is the extension [`Tenant`] of the request, if
/// there is one. The deadline and the call's arrival come from the request's extensions, as for
/// [`HttpClassify`](sandtower_http::HttpClassify). A response means the
/// [`Verdict`](sandtower_core::Verdict) that an [`E2bInterpret`](crate::E2bInterpret) below found,
/// else what its status says.
///
/// A request is classified once: the [client](crate::Client) puts the [`RequestInfo`] on it as an
/// extension, or a `DeadlineLayer` does that has this as its
/// [`SetDeadline`](sandtower_core::SetDeadline), and every layer reads it. A layer that makes another
/// request of it has to [replace](E2bClassify::put_info) the extension.
///
/// A connect to a paused sandbox takes a slot, which is known only once it is tried: one that found
/// none is a resume, and is for [`SANDBOX_RESUME`](op::SANDBOX_RESUME) when it is sent again. So it
/// waits for a slot as resumes do, and connects to sandboxes that run do not wait behind it.
///
/// The user's own failures are successes of the service: a command that exits with 1, that outlives
/// its own timeout, code that raises an exception are all reported within a response of status 200.
///
/// ```
/// use http::Request;
/// use sandtower_core::{Classify, HasInfo};
/// use sandtower_e2b::{E2bClassify, operation};
///
/// let request = Request::delete("https://api.e2b.app/sandboxes/i0abc").body(())?;
/// let classifier = E2bClassify.classify(&request);
/// assert_eq!(classifier.info().operation, operation::SANDBOX_KILL);
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct E2bClassify;

impl E2bClassify {
    /// Classifies `request` again and puts the result on it, in place of any before. Deadline and arrival
    /// are not part of it: they keep their own extensions.
    pub fn put_info<B>(request: &mut Request<B>) -> RequestInfo {
        let info = inspect(request);
        request.extensions_mut().insert(info);
        info
    }
}

/// What the method, the path and the header fields of `request` tell.
fn inspect<B>(request: &Request<B>) -> RequestInfo {
    let (operation, replay) = recognise(request);
    let scope = op::scope(operation);
    let tenant = request.extensions().get::<Tenant>().copied().unwrap_or_default();
    let sandbox = if scope == op::SANDBOXES { sandbox_of(request) } else { None };
    RequestInfo::new(operation)
        .scope(scope)
        .tenant(tenant)
        .resource(sandbox.map(Resource::of))
        .replay(replay)
        .open_ended(op::is_open_ended(operation))
}

impl<B> Classify<Request<B>> for E2bClassify {
    type Classifier = HttpClassifier;

    fn classify(&self, request: &Request<B>) -> HttpClassifier {
        let known = request.extensions().get::<RequestInfo>().copied();
        let mut info = known.unwrap_or_else(|| inspect(request));
        if info.operation == op::SANDBOX_CONNECT && found_no_slot(request) {
            info.operation = op::SANDBOX_RESUME;
        }
        let now = request_info(info.operation, request);
        HttpClassifier::new(info.deadline(now.deadline).arrived(now.arrived))
    }
}

impl<B> SetDeadline<Request<B>> for E2bClassify {
    /// As [`Http`] does, and classifies the request, if that was not done before.
    fn set_deadline(&self, request: &mut Request<B>, arrived: Tick, deadline: Tick) {
        if request.extensions().get::<RequestInfo>().is_none() {
            Self::put_info(request);
        }
        Http.set_deadline(request, arrived, deadline);
    }
}

/// Whether the attempt before this one found no slot.
fn found_no_slot<B>(request: &Request<B>) -> bool {
    let last = request.extensions().get::<Attempt>().and_then(|attempt| attempt.last);
    last == Some(Outcome::Exhausted)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sandtower_core::{HasInfo, Scope};

    use super::*;
    use crate::{SANDBOX_ID, SANDBOX_PORT};

    fn info(request: &Request<()>) -> RequestInfo {
        *E2bClassify.classify(request).info()
    }

    fn to(method: &str, port: &str, path: &str) -> Request<()> {
        let request = Request::builder().method(method).uri(path).header(SANDBOX_ID, "i0abc");
        request.header(SANDBOX_PORT, port).body(()).unwrap()
    }

    #[test]
    fn code_commands_watches_and_user_ports_have_no_end_of_their_own() {
        for request in [
            to("POST", "49999", "/execute"),
            to("POST", "49983", "/process.Process/Start"),
            to("POST", "49983", "/process.Process/Connect"),
            to("POST", "49983", "/process.Process/StreamInput"),
            to("POST", "49983", "/filesystem.Filesystem/WatchDir"),
            to("GET", "3000", "/events?wait=60"),
            Request::get("https://8080-i0abc.e2b.app/poll").body(()).unwrap(),
        ] {
            assert!(info(&request).open_ended, "{request:?}");
        }
        for request in [
            to("GET", "49983", "/files?path=a"),
            to("POST", "49983", "/process.Process/List"),
            to("GET", "49999", "/contexts"),
            Request::post("/v2/sandboxes").body(()).unwrap(),
        ] {
            assert!(!info(&request).open_ended, "{request:?}");
        }
    }

    #[test]
    fn what_is_sent_into_a_sandbox_names_it_however_it_is_addressed() {
        let expected = Some(Resource::of("i0abc"));
        for request in [
            to("GET", "3000", "/"),
            to("GET", "49983", "/health"),
            to("POST", "49999", "/execute"),
            Request::get("https://49983-i0abc.e2b.app/health").body(()).unwrap(),
            Request::get("/").header("host", "3000-i0abc.eu.e2b.app:443").body(()).unwrap(),
        ] {
            assert_eq!(info(&request).resource, expected, "{request:?}");
        }
        for path in ["/sandboxes/i0abc", "/v2/sandboxes", "/health"] {
            let request = Request::get(path).header(SANDBOX_ID, "i0abc").body(()).unwrap();
            assert_eq!(info(&request).resource, None, "the control plane is one: {path}");
        }
        assert_ne!(Some(Resource::of("i1")), expected);
        let unnamed = Request::get("http://127.0.0.1:49983/health").body(()).unwrap();
        assert_eq!(info(&unnamed).resource, None);
    }

    #[test]
    fn a_request_is_classified_once_and_a_rewritten_one_again() {
        let mut request =
            Request::post("/v2/sandboxes").extension(Tenant::of("a")).body(()).unwrap();
        E2bClassify.set_deadline(&mut request, Tick::ZERO, Tick::MAX);
        *request.uri_mut() = "/health".parse().unwrap();
        *request.method_mut() = http::Method::GET;
        assert_eq!(
            info(&request).operation,
            op::SANDBOX_CREATE,
            "what was found first is believed"
        );
        assert_eq!(info(&request).tenant, Tenant::of("a"));
        E2bClassify::put_info(&mut request);
        assert_eq!(info(&request).operation, op::HEALTH);
        assert_eq!(info(&request).scope, Scope::ALL);
    }

    #[test]
    fn deadline_arrival_and_a_missing_slot_are_those_of_now() {
        let mut request = Request::post("/sandboxes/i0/connect").body(()).unwrap();
        let (arrived, deadline) = (Tick::from_nanos(5), Tick::ZERO + Duration::from_secs(9));
        E2bClassify.set_deadline(&mut request, arrived, deadline);
        assert_eq!(
            (info(&request).arrived, info(&request).deadline),
            (Some(arrived), Some(deadline))
        );
        assert_eq!(info(&request).operation, op::SANDBOX_CONNECT);
        request.extensions_mut().insert(Attempt::first(arrived).next(Outcome::Exhausted));
        assert_eq!(info(&request).operation, op::SANDBOX_RESUME);
    }
}
