use std::sync::Arc;

use axum::extract::{Query, State as Extract};
use axum::response::Json;
use sandtower_telemetry::{Alert, History};
use serde::{Deserialize, Serialize};

use super::Failed;
use crate::admin::State;
use crate::admin::audit::Entry;
use crate::admin::board::{
    BreakerRow, Creations, LimitRow, Point, Pools, Problem, QueueRow, Sandboxes, Severity,
    StageLatency, Top, Totals, WaitingRow,
};
use crate::recent::RecentRequest;

/// Rows of a list.
const MOST: usize = 100;

/// How the gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::admin) enum Status {
    Ok,
    Warning,
    Critical,
}

impl Status {
    pub(in crate::admin) fn of(problems: &[Problem]) -> Self {
        match problems.first().map(|problem| problem.severity) {
            Some(Severity::Critical) => Self::Critical,
            Some(Severity::Warning) => Self::Warning,
            Some(Severity::Note) | None => Self::Ok,
        }
    }
}

#[derive(Serialize)]
pub(in crate::admin) struct Overview {
    status: Status,
    problems: Vec<Problem>,
    totals: Totals,
    alerts: usize,
}

type FromState = Extract<Arc<State>>;

pub(in crate::admin) async fn overview(Extract(state): FromState) -> Json<Overview> {
    let core = state.board.core();
    Json(Overview {
        status: Status::of(&core.problems),
        problems: core.problems.clone(),
        totals: core.totals.clone(),
        alerts: state.board.watch().alerts().len(),
    })
}

pub(in crate::admin) async fn breakers(Extract(state): FromState) -> Json<Top<BreakerRow>> {
    Json(BreakerRow::all(&state.board.core().stacks, MOST))
}

#[derive(Serialize)]
pub(in crate::admin) struct QueueLists {
    queues: Top<QueueRow>,
    waiting: Top<WaitingRow>,
}

pub(in crate::admin) async fn queues(Extract(state): FromState) -> Json<QueueLists> {
    let core = state.board.core();
    let queues = QueueRow::all(&core.stacks, MOST);
    Json(QueueLists { queues, waiting: WaitingRow::all(&core.stacks, MOST) })
}

pub(in crate::admin) async fn limits(Extract(state): FromState) -> Json<Top<LimitRow>> {
    Json(LimitRow::all(&state.board.core().stacks, MOST))
}

pub(in crate::admin) async fn sandboxes(Extract(state): FromState) -> Json<Sandboxes> {
    let core = state.board.core();
    Json(Sandboxes::of(state.board.gateway(), &core.stacks, MOST))
}

pub(in crate::admin) async fn creations(Extract(state): FromState) -> Json<Creations> {
    Json(Creations::of(&state.board.core().stacks, MOST))
}

pub(in crate::admin) async fn pool(Extract(state): FromState) -> Json<Pools> {
    let core = state.board.core();
    Json(Pools::of(state.board.gateway(), &core.stacks, &core.problems, MOST))
}

pub(in crate::admin) async fn latency(Extract(state): FromState) -> Json<Vec<StageLatency>> {
    Json(state.board.latency())
}

pub(in crate::admin) async fn alerts(Extract(state): FromState) -> Json<Vec<Alert>> {
    Json(state.board.watch().alerts())
}

#[derive(Serialize)]
pub(in crate::admin) struct Calls {
    failed: Vec<RecentRequest>,
    slow: Vec<RecentRequest>,
}

pub(in crate::admin) async fn calls(Extract(state): FromState) -> Json<Calls> {
    let [failed, slow] = state.board.gateway().shared.access_log.recent().last();
    Json(Calls { failed, slow })
}

pub(in crate::admin) async fn audit(Extract(state): FromState) -> Json<Vec<Entry>> {
    Json(state.audit.last(MOST * 10))
}

#[derive(Deserialize)]
pub(in crate::admin) struct Which {
    stack: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(in crate::admin) enum LastHour {
    All { every_s: u64, points: Vec<Point> },
    Stack(History),
}

pub(in crate::admin) async fn history(
    Extract(state): FromState,
    Query(which): Query<Which>,
) -> Result<Json<LastHour>, Failed> {
    let Some(stack) = which.stack else {
        return Ok(Json(LastHour::All { every_s: 5, points: state.board.series() }));
    };
    match state.board.watch().history(&stack) {
        Some(history) => Ok(Json(LastHour::Stack(history))),
        None => Err(Failed::not_found("no stack of this name has a history")),
    }
}
