use std::num::NonZeroU32;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::http::HeaderMap;
use axum::response::Json;
use sandtower::core::Operation;
use sandtower::e2b::operation;
use serde::Deserialize;
use serde_json::{Value, json};

use super::act::stack_of;
use super::{Failed, body};
use crate::admin::State;

/// Another limit of one operation of one stack, until a restart or a reload that changes `[stack]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    stack: String,
    operation: String,
    kind: Kind,
    /// `null`: none. To leave it out is a mistake.
    #[serde(deserialize_with = "Option::deserialize")]
    limit: Option<NonZeroU32>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Calls in flight.
    Concurrency,
    /// Attempts within the window.
    Rate,
}

pub(in crate::admin) async fn change(
    Extract(state): Extract<Arc<State>>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<Value>, Failed> {
    let Change { stack, operation, kind, limit } = body(&headers, &bytes)?;
    let core = state.board.core();
    let handles = stack_of(&core.stacks, &stack)?.handles();
    let operation = named(&operation)?;
    let number = limit.map(NonZeroU32::get);
    let set = match (kind, number) {
        (Kind::Concurrency, Some(limit)) => {
            handles.admission.set_concurrency(operation, limit).map_err(|error| error.to_string())
        }
        (Kind::Concurrency, None) => {
            Err(String::from("`limit` must be a number: calls in flight always have a limit"))
        }
        (Kind::Rate, limit) => {
            let set = handles.rate_limit.set_limit(operation, limit.map(u64::from));
            set.map_err(|error| error.to_string())
        }
    };
    set.map_err(Failed::invalid)?;
    Ok(Json(json!({"stack": stack, "operation": operation.name(), "limit": number})))
}

fn named(name: &str) -> Result<Operation, Failed> {
    let found = operation::ALL.iter().find(|operation| operation.name() == name);
    found.copied().ok_or_else(|| {
        let all: Vec<&str> = operation::ALL.iter().map(|operation| operation.name()).collect();
        Failed::invalid(format!("no operation has this name; they are {}", all.join(", ")))
    })
}
