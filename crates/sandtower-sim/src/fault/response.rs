//! Responses in place of the right ones.

use http::Response;
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::placement::Failure;
use crate::proxy::{self, Destination};
use crate::response::{self, ApiError, With as _};

/// A response in place of the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultResponse {
    /// The API's 401: so it responds too when the look-up of a key fails.
    #[serde(rename = "unauthorized_401")]
    Unauthorized401,
    /// The sandbox proxy's 409: a sandbox is being paused or resumed.
    #[serde(rename = "transitioning_409")]
    Transitioning409,
    /// The API's 429 for asking too often, with the fields that say so and a wait of a second.
    #[serde(rename = "rate_429")]
    Rate429,
    /// The balancer's 429, in plain text.
    #[serde(rename = "balancer_429")]
    Balancer429,
    /// The sandbox proxy's 429.
    #[serde(rename = "connections_429")]
    Connections429,
    /// The API's 500.
    #[serde(rename = "internal_500")]
    Internal500,
    /// The API's 500 when no node could start the sandbox.
    #[serde(rename = "create_failed_500")]
    CreateFailed500,
    /// The API's 500 that no attempt cures.
    #[serde(rename = "create_refused_500")]
    CreateRefused500,
    /// The balancer's 502, in plain text.
    #[serde(rename = "balancer_502")]
    Balancer502,
    /// The sandbox proxy's 502, in plain text.
    #[serde(rename = "route_502")]
    Route502,
    /// The sandbox proxy's 502 for a sandbox that is not there.
    #[serde(rename = "not_found_502")]
    NotFound502,
    /// The sandbox proxy's 502 for a port that is closed.
    #[serde(rename = "port_closed_502")]
    PortClosed502,
    /// The API's 503 in plain text while it drains.
    #[serde(rename = "draining_503")]
    Draining503,
    /// The API's 503 that is over shortly.
    #[serde(rename = "capacity_503")]
    Capacity503,
    /// The API's 503 that no attempt cures.
    #[serde(rename = "no_compatible_node_503")]
    NoCompatibleNode503,
    /// The API's 504.
    #[serde(rename = "placement_timeout_504")]
    PlacementTimeout504,
    /// The balancer's 504, in plain text.
    #[serde(rename = "balancer_504")]
    Balancer504,
}

impl FaultResponse {
    /// The response to a request that goes there.
    pub(crate) fn response(self, to: &Destination) -> Response<Body> {
        let (id, port) = match to {
            Destination::Sandbox { id, port } => (id.as_str(), *port),
            _ => ("", 0),
        };
        let text = |status, text: &'static str| response::text(status, text);
        let error = |status, message: &str| ApiError::new(status, message);
        let respond = |error: ApiError| error.response();
        match self {
            Self::Unauthorized401 => respond(error(401, "Invalid API key")),
            Self::Transitioning409 => proxy::transitioning(id),
            Self::Rate429 => respond(error(429, "Rate limit exceeded"))
                .with("retry-after", "1")
                .with("ratelimit-limit", "1")
                .with("ratelimit-remaining", "0")
                .with("ratelimit-reset", "1"),
            Self::Balancer429 => text(429, "Too Many Requests"),
            Self::Connections429 => proxy::too_many_connections(id),
            Self::Internal500 => {
                respond(error(500, "Internal server error").code("internal_server_error"))
            }
            Self::CreateFailed500 => respond(Failure::CreateFailed.error()),
            Self::CreateRefused500 => {
                let error = error(500, "Failed to place sandbox: it was refused");
                respond(error.code("sandbox_create_refused"))
            }
            Self::Balancer502 => text(502, "Bad Gateway"),
            Self::Route502 => text(502, "Failed to route request to sandbox"),
            Self::NotFound502 => proxy::not_found(id),
            Self::PortClosed502 => proxy::port_closed(id, port),
            Self::Draining503 => text(503, "Service is unavailable"),
            Self::Capacity503 => respond(Failure::NoCapacity.error()),
            Self::NoCompatibleNode503 => {
                let error = error(503, "Failed to place sandbox: no node is compatible with it");
                respond(error.code("sandbox_no_compatible_node"))
            }
            Self::PlacementTimeout504 => respond(Failure::PlacementTimeout.error()),
            Self::Balancer504 => text(504, "upstream request timeout"),
        }
    }
}
