use http::{HeaderMap, StatusCode};
use sandtower_core::{Effect, Operation, Verdict};
use sandtower_http::verdict_of_status;

use crate::{
    ErrorBody,
    operation::SANDBOX_TRAFFIC,
    strings::{Rule, is_busy, is_so_already},
};

/// The verdict on an error response: by its message if `rules` match, otherwise by its status and
/// headers as for HTTP.
///
/// | response | verdict |
/// |---|---|
/// | 429, all sandboxes or template builds of the plan in use | exhausted |
/// | 429, connections of one sandbox | transient, effect none, about one resource |
/// | any other 429: a rate limit, a load balancer | throttled |
/// | 500 `sandbox_create_failed`, 503 `sandbox_capacity_unavailable`, placement failed, node busy | transient, effect none |
/// | 500 `sandbox_create_refused`, 503 `sandbox_no_compatible_node` | permanent |
/// | any other 500 | unknown, effect maybe |
/// | 504 `sandbox_placement_timeout` and any other 502, 503, 504 | transient, effect maybe |
/// | 502 of the proxy: sandbox not found, port not open | permanent: concerns one sandbox, no evidence against the service |
/// | 409 still transitioning, `sandbox_start_in_flight`, any other 409 to a kill, connect or pause | transient, effect none, about one resource |
/// | 409, 422 `idempotency_in_progress` | transient, effect maybe, about one resource |
/// | 409, 422 `idempotency_outcome_unknown` | permanent, effect maybe |
/// | 404 to a kill, 409 "already paused" to a pause | success: already done |
/// | 400, 401, 403, 404, any other 409 | permanent |
///
/// Any response of the user's own program on its own port is a success of the service, except 502, 503
/// and 504, which load balancers send too.
pub fn verdict_of_response(
    rules: &[Rule],
    operation: Operation,
    status: StatusCode,
    fields: &HeaderMap,
    body: &ErrorBody,
) -> Verdict {
    let by_status = verdict_of_status(status, fields);
    if is_so_already(operation, status.as_u16(), body) {
        let mut success = Verdict::success();
        success.allowance = by_status.allowance;
        return success;
    }
    let known = rules.iter().find_map(|rule| rule.verdict(status.as_u16(), body));
    let meant = match known {
        Some(verdict) => verdict,
        None if is_busy(operation, status.as_u16()) => Verdict::transient(Effect::None).about_one(),
        None if operation == SANDBOX_TRAFFIC && !is_of_a_balancer(status) => Verdict::success(),
        None => return by_status,
    };
    // The message decides the verdict, the headers the time to wait.
    let mut verdict = by_status;
    (verdict.outcome, verdict.effect, verdict.about) = (meant.outcome, meant.effect, meant.about);
    verdict
}

fn is_of_a_balancer(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504)
}
