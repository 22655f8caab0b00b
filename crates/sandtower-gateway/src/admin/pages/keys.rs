use maud::{Markup, html};
use serde_json::json;

use super::Section;
use super::format::{number, utc};
use super::parts::{more, nothing};
use super::plot;
use crate::admin::State;
use crate::admin::board::Top;
use crate::virtual_keys::{KeyInfo, StoreState, Used};

const ROWS: usize = 40;

/// The limits of a key: their names in the API and for people.
const LIMITS: [(&str, &str); 4] = [
    ("concurrent_sandboxes", "sandboxes at once"),
    ("creations_per_minute", "creations a minute"),
    ("creations_per_day", "creations a day"),
    ("sandbox_seconds_per_day", "sandbox seconds a day"),
];

pub(super) fn sections(state: &State) -> Vec<Section> {
    let keys = state.gateway.virtual_keys();
    let mut all = keys.list();
    // Those that are nearest to a limit first, those that are revoked last.
    all.sort_by(|one, other| {
        let revoked = one.revoked.is_some().cmp(&other.revoked.is_some());
        revoked.then(fullest(other).total_cmp(&fullest(one)))
    });
    vec![("new-key", create()), ("keys", list(keys.store(), &Top::of(all, ROWS)))]
}

fn used(key: &KeyInfo) -> [&Used; 4] {
    let usage = &key.usage;
    [
        &usage.concurrent_sandboxes,
        &usage.creations_per_minute,
        &usage.creations_per_day,
        &usage.sandbox_seconds_per_day,
    ]
}

fn fullest(key: &KeyInfo) -> f64 {
    used(key).iter().filter_map(|used| used.share).fold(0.0, f64::max)
}

fn create() -> Markup {
    html! {
        h2 { "A new key" }
        form.row data-post="/api/v1/keys" data-body=(json!({})) data-asks="Create a key named {name}?" {
            label { "Name" input name="name" required maxlength="64" autocomplete="off"; }
            label { "Sandboxes at once" input type="number" name="limits.concurrent_sandboxes" min="1" max="1000000" placeholder="no limit"; }
            button { "Create" }
        }
    }
}

fn list(store: StoreState, keys: &Top<KeyInfo>) -> Markup {
    html! {
        h2 { "Keys" }
        @match store {
            StoreState::Unavailable => p.notice { "They are not written: the log says why." },
            StoreState::Memory => p.muted { "They are kept in memory, and lost at a restart: set " code { "keys.store" } "." },
            _ => {}
        }
        @if keys.rows.is_empty() {
            (nothing("There is no virtual key: callers use keys of E2B."))
        }
        @for key in &keys.rows { (one(key)) }
        (more(keys.more, "keys"))
    }
}

fn one(key: &KeyInfo) -> Markup {
    let state = match key.revoked {
        Some(_) => "",
        None if fullest(key) >= 0.9 => "critical",
        None if fullest(key) >= 0.8 => "warning",
        None => "ok",
    };
    html! {
        article.key {
            h2 {
                span.label { (key.name) } " "
                code.id { (key.id) }
                @if let Some(at) = key.revoked { " " span.pill { "revoked " (utc(at as f64)) } }
                @else if key.declared { " " span.pill { "of the file" } }
                @else { " " span.pill.(state) { "active" } }
            }
            p.muted {
                "upstream " (key.upstream) " · " (key.priority.label())
                " · templates: " @match &key.templates {
                    Some(all) => { (templates(all)) }
                    None => { "all" }
                }
                @if let Some(until) = key.old_secret_until { " · the secret before works until " (utc(until as f64)) }
            }
            @if key.revoked.is_none() {
                (limits(key))
                @if !key.declared { (buttons(key)) }
            }
        }
    }
}

/// The first of many.
fn templates(all: &[String]) -> String {
    let first: Vec<_> = all.iter().take(5).map(|name| crate::recent::cut(name)).collect();
    let rest = all.len().saturating_sub(first.len());
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{}{more}", first.join(", "))
}

fn limits(key: &KeyInfo) -> Markup {
    html! {
        div.scroll {
            table.stack {
                tbody {
                    @for ((field, name), used) in LIMITS.iter().zip(used(key)) {
                        tr {
                            td { (name) }
                            td.bars { @if let Some(share) = used.share { (plot::bar(share)) } }
                            td.number {
                                (number(used.used))
                                @match used.limit { Some(limit) => { " of " (number(limit)) }, None => { " · no limit" } }
                            }
                            td.act { @if !key.declared { (change(key, field, name, used)) } }
                        }
                    }
                }
            }
        }
    }
}

fn change(key: &KeyInfo, field: &str, name: &str, used: &Used) -> Markup {
    let asks = format!("Change {name} of {} to {{limit}}?", key.name);
    let half = used.limit.map(|limit| (limit / 2).max(1));
    html! {
        form.change data-method="PATCH" data-post={ "/api/v1/keys/" (key.id) } data-body=(json!({})) data-asks=(asks) {
            input type="number" name={ "limits." (field) } min="0" max="1000000000" required value=[used.limit] aria-label={ "new limit: " (name) };
            button { "Set" }
            @if let Some(half) = half {
                button.quiet type="button" data-fill=(half) title={ "set it to " (half) } { "Halve" }
            }
        }
    }
}

fn buttons(key: &KeyInfo) -> Markup {
    let path = format!("/api/v1/keys/{}", key.id);
    let rotate =
        format!("Replace the secret of {}? The one before works for another hour.", key.name);
    let revoke = format!("Revoke {}? Its callers are rejected from now on, for good.", key.name);
    html! {
        div.buttons {
            button type="button" data-post={ (path) "/rotate" } data-body=(json!({"grace_seconds": 3_600})) data-asks=(rotate) { "Rotate" }
            button type="button" data-method="DELETE" data-post=(path) data-body="{}" data-asks=(revoke) { "Revoke" }
        }
    }
}
