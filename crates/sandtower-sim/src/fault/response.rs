//! Responses in place of the right ones.

use http::Response;
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::placement::Failure;
use crate::proxy;
use crate::response::{self, ApiError, With as _};

/// A response in place of the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultResponse {
    /// The API's 401: so it answers too when the look-up of a key fails.
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
    /// The response; `sandbox` is the one that the request was for, with its port, if it was for one.
    pub(crate) fn response(self, sandbox: Option<(&str, u16)>) -> Response<Body> {
        let (id, port) = sandbox.unwrap_or_default();
        let internal = |message: &str| ApiError::new(500, message);
        match self {
            Self::Unauthorized401 => ApiError::new(401, "Invalid API key").response(),
            Self::Transitioning409 => proxy::transitioning(id),
            Self::Rate429 => ApiError::new(429, "Rate limit exceeded")
                .response()
                .with("retry-after", "1")
                .with("ratelimit-limit", "1")
                .with("ratelimit-remaining", "0")
                .with("ratelimit-reset", "1"),
            Self::Balancer429 => response::text(429, "Too Many Requests"),
            Self::Connections429 => proxy::too_many_connections(id),
            Self::Internal500 => {
                internal("Internal server error").code("internal_server_error").response()
            }
            Self::CreateFailed500 => Failure::CreateFailed.error().response(),
            Self::CreateRefused500 => internal("Failed to place sandbox: it was refused")
                .code("sandbox_create_refused")
                .response(),
            Self::Balancer502 => response::text(502, "Bad Gateway"),
            Self::Route502 => response::text(502, "Failed to route request to sandbox"),
            Self::NotFound502 => proxy::not_found(id),
            Self::PortClosed502 => proxy::port_closed(id, port),
            Self::Draining503 => response::text(503, "Service is unavailable"),
            Self::Capacity503 => Failure::NoCapacity.error().response(),
            Self::NoCompatibleNode503 => {
                let message = "Failed to place sandbox: no node is compatible with it";
                let error = ApiError::new(503, message);
                error.code("sandbox_no_compatible_node").response()
            }
            Self::PlacementTimeout504 => Failure::PlacementTimeout.error().response(),
            Self::Balancer504 => response::text(504, "upstream request timeout"),
        }
    }
}
