use maud::{Markup, html};
use sandtower::pool::{Cap, KindSnapshot, PoolSnapshot, Term};

use super::format::{number, span_ms};
use super::parts::{figure, more, nothing, whose};
use super::{Section, plot};
use crate::admin::State;
use crate::admin::board::{Point, PoolRow, Pools, misses};

/// Pools that are shown.
const ROWS: usize = 20;

pub(super) fn sections(state: &State) -> Vec<Section> {
    let core = state.board.core();
    let pools = Pools::of(state.board.gateway(), &core.stacks, &core.problems, ROWS);
    let has_any = !pools.all.rows.is_empty();
    vec![
        (
            "problems",
            html! { @for problem in &pools.problems { (super::overview::card(problem)) } },
        ),
        (
            "hour",
            if has_any {
                hour(&state.board.series())
            } else {
                html! {}
            },
        ),
        ("pools", all(&pools)),
    ]
}

fn hour(points: &[Point]) -> Markup {
    let of = |read: fn(&Point) -> f32| points.iter().map(read).collect::<Vec<f32>>();
    let rate = |read: fn(&Point) -> f32| points.iter().map(|it| read(it) / 5.0).collect::<Vec<_>>();
    let whole = |it: f32| number(it as u64);
    let per_second = |it: f32| format!("{it:.1}/s");
    html! {
        h2 { "The last hour, of all keys" }
        div.plots {
            (plot::line("warm and idle", &of(|it| it.warm_idle), "", whole))
            (plot::line("target", &of(|it| it.warm_target), "", whole))
            (plot::line("served from stock", &rate(|it| it.pool_hits), "ok", per_second))
            (plot::line("not served from it", &rate(|it| it.pool_misses), "warning", per_second))
        }
    }
}

fn all(pools: &Pools) -> Markup {
    html! {
        @if !pools.is_configured {
            p.nothing {
                "No warm pool is configured. A section " code { "[stack.pool]" } " in the configuration file, with "
                code { "max" } " and " code { "budget" } ", keeps sandboxes warm, and creations are served from them."
            }
        } @else if pools.all.rows.is_empty() {
            (nothing("No key is in use. A pool starts once E2B has accepted a request with its key."))
        }
        @for row in &pools.all.rows { (one(row)) }
        (more(pools.all.more, "pools, with fewer requests"))
    }
}

fn one(row: &PoolRow) -> Markup {
    let pool = &row.pool;
    html! {
        article {
            h2 { (whose(&row.whose)) @if pool.is_shut_down { " " span.pill.warning { "shut down" } } }
            (figures(row))
            (misses_of(pool))
            @if pool.shapes.is_empty() {
                p.muted { "No shape yet: none is configured, and one is learned from two creations that succeed." }
            } @else {
                (shapes(pool))
            }
        }
    }
}

fn figures(row: &PoolRow) -> Markup {
    let pool = &row.pool;
    let rate = row.hit_rate.map_or_else(|| "–".into(), |rate| format!("{:.1} %", rate * 100.0));
    let idle = format!("{} of {}", number(pool.idle.into()), number(pool.target.into()));
    let oldest = pool.oldest_ms.map_or_else(|| "–".into(), |ms| span_ms(ms / 1_000 * 1_000));
    let cost = format!("{} of {}", dollars(pool.cost_per_hour), dollars(pool.budget));
    let bad = |is: bool| if is { "warning" } else { "" };
    html! {
        div.figures {
            (figure("served from stock", &number(pool.hits), ""))
            (figure("not served from it", &number(misses(pool)), ""))
            (figure("hit rate", &rate, ""))
            (figure("idle, of the target", &idle, bad(pool.idle == 0 && pool.target > 0)))
            (figure("leased", &number(pool.leased.into()), ""))
            (figure("ordered", &number(pool.creating.into()), ""))
            (figure("oldest", &oldest, ""))
            (figure("cost so far", &dollars(pool.cost), ""))
            (figure("cost an hour, of the budget", &cost, ""))
            (figure("creations failed", &number(pool.failed), bad(pool.failed > 0)))
            (figure("ended unused", &number(pool.expired + pool.retired + pool.yielded), ""))
            (figure("found dead", &number(pool.dead), bad(pool.dead > 0)))
        }
    }
}

fn dollars(amount: f64) -> String {
    format!("${amount:.2}")
}

fn misses_of(pool: &PoolSnapshot) -> Markup {
    let mut all: Vec<(&str, u64)> = pool.misses.iter().map(|(why, count)| (*why, *count)).collect();
    all.retain(|(_, count)| *count > 0);
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    html! {
        @if !all.is_empty() {
            div.scroll {
                table {
                    thead { tr { th { "not served" } th.number { "" } th { "why" } } }
                    tbody {
                        @for (why, count) in all {
                            tr { td { code { (why) } } td.number { (number(count)) } td.why { (meaning(why)) } }
                        }
                    }
                }
            }
        }
    }
}

fn meaning(miss: &str) -> &'static str {
    match miss {
        "empty" => "none of its shape was in stock",
        "unknown" => "no shape is like it; one that succeeds twice is learned",
        "metadata" => "it has metadata, which a sandbox cannot get after its creation",
        "keyed" => "it has an Idempotency-Key of its caller's",
        "lifecycle" => "it pauses at its end",
        "lifetime" => "its timeout is longer than a sandbox in stock can still live",
        "share" => "stock was short, and its tenant had its share",
        "dead" => "those that were tried were dead",
        "late" => "the time for a hand-out was over",
        "unreadable" => "its body is not understood",
        "other_key" => "it came with another API key than the stock",
        "store" => "the hand-out could not be written to the store",
        "shut_down" => "the pool was shut down",
        _ => "",
    }
}

fn shapes(pool: &PoolSnapshot) -> Markup {
    html! {
        div.scroll {
            table {
                thead { tr {
                    th { "shape" } th.number { "hits" } th.number { "misses" } th.number { "idle" }
                    th.number { "target" } th { "determined by" } th { "capped by" }
                    th.number { "requests" } th.number { "a creation takes" }
                    th.number { "forecast of the last hour" } th.number { "came" } th.number { "error" }
                } }
                // As many as a pool may have: 32.
                tbody { @for shape in &pool.shapes { (shape_row(shape)) } }
            }
        }
    }
}

fn shape_row(shape: &KindSnapshot) -> Markup {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    let cap = shape.capped_by.map(cap);
    html! {
        tr {
            td {
                span.label title=(shape.name) { (shape.name) }
                @if !shape.is_configured { span.muted { " learned" } }
            }
            td.number { (number(shape.hits)) }
            td.number { (number(shape.misses)) }
            td.number.warning[shape.idle == 0 && shape.target > 0] { (number(shape.idle.into())) }
            td.number { (number(shape.target.into())) }
            td { (term(shape.determined_by)) }
            td.warning[cap.is_some()] { (cap.unwrap_or("–")) }
            td.number { (format!("{:.2}/s", shape.rate)) }
            td.number { (span_ms(shape.lead_ms / 10 * 10)) }
            td.number { (or_none(shape.forecast.map(|it| number(it.round() as u64)))) }
            td.number { (or_none(shape.came.map(|it| number(it.into())))) }
            td.number { (or_none(shape.forecast_error.map(|it| format!("{:.0} %", it * 100.0)))) }
        }
    }
}

const fn term(term: Term) -> &'static str {
    match term {
        Term::Nothing => "no demand",
        Term::Rate => "rate of requests",
        Term::Peak => "recent peak",
        Term::Profile => "this hour of earlier weeks",
        Term::Schedule => "schedule",
        Term::Min => "min",
        _ => "–",
    }
}

const fn cap(cap: Cap) -> &'static str {
    match cap {
        Cap::Max => "max",
        Cap::Budget => "budget",
        Cap::Slots => "slots of the plan",
        Cap::Pace => "rate of creations",
        Cap::Breaker => "circuit breaker",
        Cap::Backoff => "failed creations",
        Cap::Store => "store not available",
        _ => "another limit",
    }
}
