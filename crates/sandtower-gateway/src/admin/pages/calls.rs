use maud::{Markup, html};

use super::Section;
use super::format::{span_ms, utc};
use super::parts::{nothing, whose};
use crate::Gateway;
use crate::admin::State;
use crate::admin::board::Whose;
use crate::recent::RecentRequest;

const ROWS: usize = 60;

pub(super) fn sections(state: &State) -> Vec<Section> {
    let gateway = state.board.gateway();
    let [failed, slow] = gateway.shared.access_log.recent().last();
    vec![
        ("failed", list(gateway, "Failed or rejected", "No request has failed lately.", &failed)),
        ("slow", list(gateway, "Slow or retried", "No request was slow lately.", &slow)),
    ]
}

fn list(gateway: &Gateway, title: &str, none: &str, requests: &[RecentRequest]) -> Markup {
    html! {
        h2 { (title) }
        @if requests.is_empty() {
            (nothing(none))
        } @else {
            div.calls { @for request in requests.iter().take(ROWS) { (one(gateway, request)) } }
        }
    }
}

fn one(gateway: &Gateway, request: &RecentRequest) -> Markup {
    let class = match request.status {
        0 | 500.. => "critical",
        400.. => "warning",
        _ => "ok",
    };
    let key = request.key.as_ref().map(|key| Whose::with_id(gateway, key));
    html! {
        article.call {
            p {
                span.pill.(class) { @if request.status == 0 { "client left" } @else { (request.status) } }
                " " code.path { (request.method) " " (request.path) }
                " " strong { (span_ms(request.total_ms as u64)) }
                @if request.attempts > 1 { " · " (request.attempts) " attempts" }
                @if let Some(reason) = request.reason { " · " (reason) }
            }
            @if let Some(explanation) = &request.explanation { p.explanation { (explanation) } }
            p.muted {
                (utc(request.time)) " UTC · " @if let Some(key) = &key { (whose(key)) } @else { "no key" } " · " (request.operation)
                @if let Some(sandbox) = &request.sandbox { " · sandbox " code.id { (sandbox) } }
                " · from " (request.client)
                @if let Some(id) = &request.request_id { " · request " code.id { (id) } }
            }
        }
    }
}
