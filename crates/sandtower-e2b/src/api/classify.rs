use http::Request;
use sandtower_core::{
    Attempt, Classify, Outcome, Patience, Priority, RequestInfo, Resource, SetDeadline, Tenant,
    Tick,
};
use sandtower_http::{HttpClassifier, request_info};

use crate::api::route::{recognise, sandbox_of};
use crate::operation as op;

/// Classifies requests to E2B: the operation, the sandbox, whether the request may be replayed, and its
/// deadline.
///
/// The control plane is one [scope](op::scope), what runs in sandboxes another; of the latter, each
/// request names its sandbox as [`Resource`]. Tenant, priority and what the call does in an outage are
/// the extensions [`Tenant`], [`Priority`] and [`Patience`] of the request, if there are any. The
/// deadline and the call's arrival are part of the info, or come from the request's extensions, as for
/// [`HttpClassify`](sandtower_http::HttpClassify). A response means the [`Verdict`](sandtower_core::Verdict) that an [`E2bInterpret`](crate::E2bInterpret) below found,
/// else what its status says.
///
/// A request is classified once: the [client](crate::Client) puts the [`RequestInfo`] on it as an
/// extension, or a `DeadlineLayer` does that has this as its
/// [`SetDeadline`](sandtower_core::SetDeadline), and every layer reads it. A layer that rewrites the
/// request must [replace](E2bClassify::put_info) the extension.
///
/// Connecting to a paused sandbox takes a slot, and only the attempt shows whether the sandbox was
/// paused. A connect that found no slot is classified as [`SANDBOX_RESUME`](op::SANDBOX_RESUME) when it
/// is sent again: it queues with the resumes, and connects to running sandboxes do not queue behind it.
///
/// Failures of the user's own code are successes of the service: a command that exits with 1 or outlives
/// its timeout, and code that raises an exception, are reported in a response with status 200.
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
    /// Classifies `request` again and replaces its info. Deadline, arrival, tenant and class are kept.
    pub fn put_info<B>(request: &mut Request<B>) -> RequestInfo {
        let known = request.extensions().get::<RequestInfo>().copied();
        let mut info = inspect(request);
        if let Some(before) = known {
            let extensions = request.extensions();
            if extensions.get::<Tenant>().is_none() {
                info = info.tenant(before.tenant);
            }
            if extensions.get::<Priority>().is_none() {
                info = info.priority(before.priority);
            }
            info = info.patience(info.patience.or(before.patience)).weight(before.weight);
            info = info.deadline(before.deadline).arrived(before.arrived);
        }
        request.extensions_mut().insert(info);
        info
    }
}

/// Classifies by the method, the path and the headers of `request`.
fn inspect<B>(request: &Request<B>) -> RequestInfo {
    let (operation, replay) = recognise(request);
    let scope = op::scope(operation);
    let extensions = request.extensions();
    let tenant = extensions.get::<Tenant>().copied().unwrap_or_default();
    let priority = extensions.get::<Priority>().copied().unwrap_or_default();
    let sandbox = if scope == op::SANDBOXES { sandbox_of(request) } else { None };
    RequestInfo::new(operation)
        .scope(scope)
        .tenant(tenant)
        .priority(priority)
        .patience(extensions.get::<Patience>().copied())
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
        let own = request_info(info.operation, request);
        let deadline = earlier(info.deadline, own.deadline);
        HttpClassifier::new(info.deadline(deadline).arrived(info.arrived.or(own.arrived)))
    }
}

impl<B> SetDeadline<Request<B>> for E2bClassify {
    /// Writes both into the [`RequestInfo`] of the request, and classifies the request if it was not
    /// classified yet. An earlier deadline is kept.
    fn set_deadline(&self, request: &mut Request<B>, arrived: Tick, deadline: Tick) {
        let known = request.extensions().get::<RequestInfo>().copied();
        let info = known.unwrap_or_else(|| inspect(request));
        let before = request_info(info.operation, request);
        let arrived = info.arrived.or(before.arrived).unwrap_or(arrived);
        let set = (deadline != Tick::MAX).then_some(deadline);
        let info = info.arrived(Some(arrived)).deadline(earlier(info.deadline, set));
        request.extensions_mut().insert(info);
    }
}

fn earlier(one: Option<Tick>, other: Option<Tick>) -> Option<Tick> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Whether the previous attempt found no slot.
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
    fn code_commands_watches_and_user_ports_are_open_ended() {
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
    fn a_request_into_a_sandbox_names_it_however_it_is_addressed() {
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
            assert_eq!(info(&request).resource, None, "no resource on the control plane: {path}");
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
            "the first classification is kept"
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
