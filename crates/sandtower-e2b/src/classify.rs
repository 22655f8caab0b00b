use http::Request;
use sandtower_core::{Attempt, Classify, Outcome};
use sandtower_http::{HttpClassifier, request_info};

use crate::{operation as op, recognise};

/// Classifies requests to E2B: which operation, whether it may be replayed, and by when.
///
/// The control plane is one [scope](op::scope), what runs in sandboxes another. The deadline and the
/// call's arrival come from the request's extensions, as for
/// [`HttpClassify`](sandtower_http::HttpClassify). An answer means the
/// [`Verdict`](sandtower_core::Verdict) that an [`E2bInterpret`](crate::E2bInterpret) below found,
/// else what its status says.
///
/// A connect to a paused sandbox takes a slot, which nobody knows before: one that was answered that
/// there is none is a resume, and asks for [`SANDBOX_RESUME`](op::SANDBOX_RESUME) when it is sent again.
/// So it waits for a slot as resumes do, and connects to sandboxes that run do not wait behind it.
///
/// The user's own failures are successes of the service: a command that exits with 1, that outlives
/// its own time-out, code that raises an exception are all told within an answer of status 200.
///
/// ```
/// use http::Request;
/// use sandtower_core::{Asks, Classify};
/// use sandtower_e2b::{E2bClassify, operation};
///
/// let request = Request::delete("https://api.e2b.app/sandboxes/i0abc").body(())?;
/// let judge = E2bClassify.classify(&request);
/// assert_eq!(judge.info().operation, operation::SANDBOX_KILL);
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct E2bClassify;

impl<B> Classify<Request<B>> for E2bClassify {
    type Classifier = HttpClassifier;

    fn classify(&self, request: &Request<B>) -> HttpClassifier {
        let (mut operation, replay) = recognise(request);
        if operation == op::SANDBOX_CONNECT && found_no_slot(request) {
            operation = op::SANDBOX_RESUME;
        }
        HttpClassifier::new(
            request_info(operation, request).scope(op::scope(operation)).replay(replay),
        )
    }
}

/// Whether the attempt before this one was answered so.
fn found_no_slot<B>(request: &Request<B>) -> bool {
    let last = request.extensions().get::<Attempt>().and_then(|attempt| attempt.last);
    last == Some(Outcome::Exhausted)
}
