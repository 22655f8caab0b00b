//! Why a request with a virtual key is rejected, in words for its sender.

use std::time::Duration;

use http::StatusCode;
use sandtower::e2b::SandboxId;

use crate::proxy::failure::Failure;
use crate::virtual_keys::{Exceeded, Key, Limit, NotAdmitted};

pub(super) fn not_admitted(key: &Key, why: NotAdmitted) -> Failure {
    match why {
        NotAdmitted::Revoked => revoked(),
        NotAdmitted::Exceeded(exceeded) => over_limit(key, exceeded),
    }
}

pub(in crate::proxy) fn revoked() -> Failure {
    let message = "the API key is revoked";
    Failure { reason: "revoked_key", ..Failure::of_request(StatusCode::UNAUTHORIZED, message) }
}

fn over_limit(key: &Key, Exceeded { limit, most, free_in }: Exceeded) -> Failure {
    let name = key.name();
    let message = match limit {
        // As the service begins it, for clients that read it.
        Limit::ConcurrentSandboxes => format!(
            "you have reached the maximum number of concurrent E2B sandboxes ({most}) of the key \
             \"{name}\": kill one, or wait until one ends"
        ),
        Limit::CreationsPerMinute => {
            format!("the key \"{name}\" may create {most} sandboxes a minute, and has")
        }
        Limit::CreationsPerDay => {
            format!("the key \"{name}\" may create {most} sandboxes a day (UTC), and has")
        }
        Limit::SandboxSecondsPerDay => format!(
            "the sandboxes of the key \"{name}\" may run for {most} seconds a day (UTC), and have: \
             those that run end at their timeout"
        ),
    };
    Failure {
        status: StatusCode::TOO_MANY_REQUESTS,
        message,
        retry_after: free_in.map(Duration::from_millis),
        reason: limit.label(),
    }
}

pub(super) fn template(key: &Key, template: &str) -> Failure {
    let allowed = key.templates().unwrap_or_default().join(", ");
    let message = format!(
        "the key \"{}\" may not use the template \"{template}\"; it may use: {allowed}",
        key.name()
    );
    Failure { reason: "template", ..Failure::of_request(StatusCode::FORBIDDEN, message) }
}

/// As the service says it of a sandbox that is not there.
pub(super) fn not_found(id: &SandboxId) -> Failure {
    let message = format!("Sandbox \"{id}\" doesn't exist or you don't have access to it");
    Failure { reason: "not_found", ..Failure::of_request(StatusCode::NOT_FOUND, message) }
}
